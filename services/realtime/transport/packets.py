"""A Socket.IO event, encoded once for everyone who gets it."""

from typing import Any

import msgspec

from services.realtime.transport.engine import frame

_encode = msgspec.json.Encoder().encode
DEFAULT_NAMESPACE = "/"
NAMESPACES = (DEFAULT_NAMESPACE, "/socket.io/")  # `io('wss://host/socket.io/')` asks for the second


class EventPacket:
    """An event packet (Socket.IO protocol 5). The bytes of each namespace are made when first needed."""

    __slots__ = ("_body", "_frames", "event")

    def __init__(self, event: str, payload: Any) -> None:
        self.event = event
        self._body = _encode([event, payload])
        self._frames: dict[str, bytes] = {}

    def frame(self, namespace: str) -> bytes:
        """Returns the whole WebSocket frame: Engine.IO MESSAGE, Socket.IO EVENT."""
        made = self._frames.get(namespace)
        if made is None:
            made = self._frames[namespace] = frame(b"42" + prefix(namespace) + self._body)
        return made

    def text(self, namespace: str) -> str:
        """Returns the packet without framing and Engine.IO type, for a socket that polls."""
        return (b"2" + prefix(namespace) + self._body).decode()


def prefix(namespace: str) -> bytes:
    """Returns the text between packet type and data, which names a namespace other than the default."""
    return b"" if namespace == DEFAULT_NAMESPACE else f"{namespace},".encode()
