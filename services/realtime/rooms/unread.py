"""Says by whom it was made, what a client has not read.

A client that leaves too much unread is dropped. What one member relays to it is to cost that member and not the client:
while one sender's bytes are most of the backlog, theirs are left out, and their budget is taken away. That is for lines
that are slow: a client that takes next to nothing is dropped whoever spoke, or who stops reading would silence others.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.realtime.transport.packets import EventPacket

BLAMED_SHARE = 0.5  # of a backlog
BLAMED_BYTES = 64 * 1024  # of one sender, unread by one client: less is a slow line's own fault
STALLED_SECONDS = 2.0  # for which a client may take less than
LEAST_LINE = 16 * 1024  # bytes a second

type Pending = Sequence[tuple[EventPacket, str | None]]  # each with the socket that said it, if one did


@dataclass(slots=True)
class Unread:
    """The bytes that were written to a client since it last had read everything, by the socket that said them."""

    first: Pending = ()  # what was written when nothing was unread: counted only if something is, later
    by_sender: dict[str, int] = field(default_factory=dict)
    total: int = 0
    written: int = 0  # bytes of `total`: what was left out is not
    since: float = 0.0  # of `clock`
    clock: Callable[[], float] = time.monotonic

    def begin(self, packets: Pending) -> None:
        """Notes what is written to a client that had read everything."""
        self.first = packets
        if self.total:
            self.by_sender, self.total, self.written = {}, 0, 0

    def add(self, packets: Pending, namespace: str) -> None:
        """Counts what is written to a client that has something unread."""
        if not self.total:
            self.since = self.clock()
        first, self.first = self.first, ()
        self.written += sum(len(packet.frame(namespace)) for packet, _ in first)
        for packet, sender in (*first, *packets):
            size = len(packet.frame(namespace))
            self.total += size
            if sender is not None:
                self.by_sender[sender] = self.by_sender.get(sender, 0) + size

    def most_of(self, backlog: int) -> tuple[str, int] | None:
        """Returns who made more than `BLAMED_SHARE` of a backlog, and about how much of it; None where nobody did."""
        if not self.by_sender:
            return None
        sender, size = max(self.by_sender.items(), key=lambda item: item[1])
        share = size / self.total
        return (sender, round(share * backlog)) if share > BLAMED_SHARE else None

    def is_stalled(self, backlog: int) -> bool:
        """Returns whether the client has taken less than any line does, for so long that it is no hiccup."""
        seconds = self.clock() - self.since
        return seconds >= STALLED_SECONDS and self.written - backlog < LEAST_LINE * seconds
