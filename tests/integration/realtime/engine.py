"""The edge of the transport: remembers the events that are written to a socket."""

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
        self.reads = True
        self._order = order

    def write(self, data: bytes) -> None:
        if not self.reads:
            self.backlog += len(data)
            self.is_busy = True
        self._note(payloads(data))

    def queue_message(self, text: str) -> None:
        """What is sent to a connection that was dropped waits for nobody."""
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
            self._order.append((self.name, event))
