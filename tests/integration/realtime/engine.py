"""Remembers the events that are written to a socket, at the edge of the transport."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tests.support import sockets
from tests.support.sockets import payloads

PREFIX = b"42"  # Engine.IO MESSAGE, Socket.IO EVENT, in the default namespace


class Engine(sockets.Engine):
    """`order` is shared: the names of sockets and events as they were written.

    While `reads` is false, everything that is written stays unread.
    """

    def __init__(self, name: str, order: list[tuple[str, str]]) -> None:
        super().__init__()
        self.name = name
        self.events: list[tuple[str, Any]] = []
        self.all: list[tuple[str, Any]] = []  # with poses
        self.reads = True
        self._order = order

    def write(self, data: bytes) -> None:
        if not self.reads:
            self.backlog += len(data)
            self.is_busy = True
        self._note(payloads(data))

    def write_parts(self, parts: Sequence[bytes]) -> None:
        """Takes poses, of which only `all` tells."""
        packets = payloads(b"".join(parts))
        self.all += [msgspec.json.decode(packet.removeprefix(PREFIX)) for packet in packets]

    def queue_message(self, text: str) -> None:
        """Discards packets for a connection that was dropped."""
        assert self.dropped, f"{self.name} does not poll, but was sent {text}"

    def drop(self, farewell: bytes = b"") -> None:
        super().drop(farewell)
        self.transport = None
        self._note(self.farewell)

    def read_all(self) -> None:
        """Takes what was unread, and everything from now on."""
        self.reads, self.backlog, self.is_busy = True, 0, False

    def _note(self, packets: list[bytes]) -> None:
        for packet in packets:
            event, payload = msgspec.json.decode(packet.removeprefix(PREFIX))
            self.events.append((event, payload))
            self.all.append((event, payload))
            self._order.append((self.name, event))
