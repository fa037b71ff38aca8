"""Says by whom it was made, what a client has not read.

A client that leaves too much unread is dropped. What one member relays to it is to cost that member and not the client:
while one sender's bytes are most of the backlog, theirs are left out, and their budget is taken away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.realtime.transport.packets import EventPacket

BLAMED_SHARE = 0.5  # of a backlog
BLAMED_BYTES = 64 * 1024  # of one sender, unread by one client: less is a slow line's own fault

type Pending = Sequence[tuple[EventPacket, str | None]]  # each with the socket that said it, if one did


@dataclass(slots=True)
class Unread:
    """The bytes that were written to a client since it last had read everything, by the socket that said them."""

    first: Pending = ()  # what was written when nothing was unread: counted only if something is, later
    by_sender: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def begin(self, packets: Pending) -> None:
        """Notes what is written to a client that had read everything."""
        self.first = packets
        if self.total:
            self.by_sender, self.total = {}, 0

    def add(self, packets: Pending, namespace: str) -> None:
        """Counts what is written to a client that has something unread."""
        first, self.first = self.first, ()
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
