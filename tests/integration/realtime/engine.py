"""The edge of the transport: remembers the events that are written to a socket."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

PREFIX = b"42"  # Engine.IO MESSAGE, Socket.IO EVENT, in the default namespace


class Engine:
    """Stands where a `DirectSocket` stands. `order` is shared: the names of sockets and events as they were written.

    While `reads` is false, everything that is written stays unread.
    """

    def __init__(self, name: str, order: list[tuple[str, str]]) -> None:
        self.name = name
        self.events: list[tuple[str, Any]] = []
        self.transport: object | None = object()
        self.reads = True
        self.backlog = 0
        self.dropped = False
        self._order = order

    @property
    def is_busy(self) -> bool:
        return self.backlog > 0

    def write(self, data: bytes) -> None:
        if not self.reads:
            self.backlog += len(data)
        self._note(data)

    def write_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        self.write(b"".join(parts))

    def queue_message(self, text: str) -> None:
        raise AssertionError(f"{self.name} does not poll, but was sent {text}")

    def drop(self, farewell: bytes = b"") -> None:
        self.dropped, self.transport = True, None
        self._note(farewell)

    def read_all(self) -> None:
        """Takes what was unread, and everything from now on."""
        self.reads, self.backlog = True, 0

    def _note(self, data: bytes) -> None:
        for event, payload in events_of(data):
            self.events.append((event, payload))
            self._order.append((self.name, event))


def events_of(data: bytes) -> Iterator[tuple[str, Any]]:
    """Yields name and payload of each Socket.IO event in `data`, whole unmasked text frames (RFC 6455, 5.2)."""
    while data:
        size, start = data[1], 2
        if size == 126:
            (size,), start = struct.unpack("!H", data[2:4]), 4
        elif size == 127:
            (size,), start = struct.unpack("!Q", data[2:10]), 10
        event, payload = msgspec.json.decode(data[start : start + size].removeprefix(PREFIX))
        yield event, payload
        data = data[start + size :]
