"""Packets of Socket.IO, each encoded once for everyone who gets it."""

from typing import Any

import msgspec

from services.realtime.transport.engine import DirectSocket, frame

_encode = msgspec.json.Encoder().encode
DEFAULT_NAMESPACE = "/"
NAMESPACES = (DEFAULT_NAMESPACE, "/socket.io/")  # `io('wss://host/socket.io/')` asks for the second


class Packet:
    """A packet (Socket.IO protocol 5). The bytes of each namespace are made when first needed."""

    __slots__ = ("_body", "_frames", "_kind", "_texts")

    def __init__(self, kind: bytes, body: bytes) -> None:
        self._kind, self._body = kind, body
        self._frames: dict[str, bytes] = {}
        self._texts: dict[str, str] = {}

    def frame(self, namespace: str) -> bytes:
        """Returns the whole WebSocket frame, an Engine.IO MESSAGE."""
        made = self._frames.get(namespace)
        if made is None:
            made = self._frames[namespace] = frame(b"4" + self._kind + prefix(namespace) + self._body)
        return made

    def text(self, namespace: str) -> str:
        """Returns the packet without framing and Engine.IO type, for a socket that polls."""
        made = self._texts.get(namespace)
        if made is None:
            made = self._texts[namespace] = (self._kind + prefix(namespace) + self._body).decode()
        return made

    def send(self, socket: DirectSocket, namespace: str) -> None:
        """Sends it to one socket, at once."""
        if socket.transport is None:
            socket.queue_message(self.text(namespace))
        else:
            socket.write(self.frame(namespace))


class EventPacket(Packet):
    """An EVENT for everyone who gets it, encoded once.

    `lasts`: it changes what its readers know for good, so that it is never left out for one who reads slowly.
    """

    __slots__ = ("event", "lasts")

    def __init__(self, event: str, payload: Any, *, lasts: bool = False) -> None:
        super().__init__(b"2", _encode([event, payload]))
        self.event = event
        self.lasts = lasts


class AckPacket(Packet):
    """An ACK for the one who asked for it."""

    def __init__(self, number: int, payload: Any) -> None:
        super().__init__(b"3", b"%d" % number + _encode([payload]))


def prefix(namespace: str) -> bytes:
    """Returns the text between packet type and data, which names a namespace other than the default."""
    return b"" if namespace == DEFAULT_NAMESPACE else f"{namespace},".encode()
