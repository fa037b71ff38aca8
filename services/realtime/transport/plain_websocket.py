"""The wallet's plain WebSocket: `/socket.io/` without `EIO`, one JSON object `{type, ...}` a frame, both ways.

It is an Engine.IO socket whose frames are translated, so its members, rules and limits are everyone's. What it sends
with a `type` that is an event of ours is that event; any other goes to the room as an `entity-event` of that name, and
arrives at plain clients as it was sent, with `socketId` and `userAccount` stamped by the server. There are no acks:
what fails is told as `{type: "space-error" | "chat-error", error, code}`. A WebSocket ping is its heartbeat.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Any

import engineio
import msgspec
from aiohttp import web
from engineio.packet import CLOSE, MESSAGE, Packet

from libs.common.contracts.presence import RECORDS
from libs.common.errors import FORBIDDEN, INVALID_INPUT, PresenceError
from services.realtime.transport.engine import CLOSE_FRAME, TEXT, DirectSocket, DirectWebSocket, frame

# Types that only the server says; a client that uses one of them is refused, or it could speak for the server.
_OURS = {record.name for record in RECORDS if record.sent_by == "server"} | {"connected", "kicked", "mention"}
_OUR_KINDS = ("chat-", "document-", "server-", "space-", "thing-", "user-", "voice-", "webrtc-")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_REASON = PresenceError(INVALID_INPUT, "A message is a JSON object with a `type` that is not one of the server's.")
_UNREADABLE = frame(b'42["space-error",' + _encode(_REASON.to_wire()) + b"]")


def plain_engine(base: type[engineio.AsyncServer]) -> type[engineio.AsyncServer]:
    """Returns a subclass of an Engine.IO server that also takes WebSockets that speak no Engine.IO."""

    class PlainEngineServer(base):  # type: ignore[misc]  # the library is untyped
        async def handle_request(self, request: web.Request) -> web.StreamResponse:
            if "EIO" in request.query or request.headers.get("Upgrade", "").lower() != "websocket":
                answer: web.StreamResponse = await super().handle_request(request)
                return answer
            origin = request.headers.get("Origin")
            if origin and origin not in self.cors_allowed_origins:
                return web.json_response(PresenceError(FORBIDDEN, "This origin may not connect.").to_wire(), status=403)
            return await self._serve_plain(request)

        async def _serve_plain(self, request: web.Request) -> web.StreamResponse:
            sid = self.generate_id()
            socket = self.sockets[sid] = PlainSocket(self, sid)
            environ = self._async["translate_request"](request)
            try:
                refusal = await self._trigger_event("connect", sid, environ, run_async=False)
                if refusal:
                    return web.json_response(refusal, status=401)
                return await socket.serve(environ)
            finally:
                self.sockets.pop(sid, None)

    return PlainEngineServer


class PlainWebSocket(DirectWebSocket):
    def __init__(self, handler: Any, server: engineio.AsyncServer) -> None:
        super().__init__(handler, server)
        self.heartbeat = float(server.ping_interval)


class PlainSocket(DirectSocket):
    """An Engine.IO socket towards the server, JSON objects towards the client."""

    def __init__(self, server: engineio.AsyncServer, sid: str) -> None:
        super().__init__(server, sid)
        self.last_ping = None  # no Engine.IO heartbeat: nothing to miss

    async def serve(self, environ: dict[str, Any]) -> web.StreamResponse:
        self._request: web.Request = environ["aiohttp.request"]
        return await PlainWebSocket(self._websocket_handler, self.server)(environ)

    async def _begin(self) -> None:
        """CONNECT, with the token of the URL or the header."""
        request = self._request
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        token = request.query.get("token") or (bearer.strip() if kind.lower() == "bearer" else "")
        await self.receive(Packet(MESSAGE, "0" + _encode({"token": token}).decode()))

    async def _read(self, data: str | bytes) -> bool:
        try:
            event = to_event(data, self.server.events)
        except (ValueError, RecursionError):
            self.write(_UNREADABLE)
            return True
        return await super()._read(event)

    def write(self, data: bytes) -> None:
        super().write(to_plain(data))

    def write_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        self.write(b"".join(parts))

    def drop(self, farewell: bytes = b"") -> None:
        super().drop(to_plain(farewell))

    def turn_away(self, error: PresenceError) -> None:
        """Also in words, since nothing else reads them here."""
        self.write(frame(b'42["space-error",' + _encode(error.to_wire()) + b"]"))
        super().turn_away(error)

    def _write_packet(self, pkt: Packet) -> None:
        super()._write_packet(pkt)
        if pkt.packet_type == MESSAGE and str(pkt.data)[:1] in ("1", "4"):  # DISCONNECT, CONNECT_ERROR: its end
            super()._write_packet(Packet(CLOSE))


def is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(_OUR_KINDS)


def to_event(data: str | bytes, events: Container[str]) -> str:
    """The Engine.IO message of what a plain client sent. Raises `ValueError`."""
    message = _decode(data)
    if not isinstance(message, dict) or not isinstance(name := message.pop("type", None), str):
        raise ValueError("no object with a type")
    if name in events:
        payload = message
    elif is_ours(name):
        raise ValueError("only the server says that")
    else:
        name, payload = "entity-event", {"name": name, "data": message}
    return "42" + _encode([name, payload]).decode()


def to_plain(data: bytes) -> bytes:
    """Translates whole server frames of Engine.IO to a plain client's; packets of Engine.IO itself are left out."""
    return b"".join(_translated(opcode, payload) for opcode, payload in _frames(data))


def _translated(opcode: int, payload: bytes) -> bytes:
    if opcode == CLOSE_FRAME:
        return frame(payload, CLOSE_FRAME)
    message = _to_message(payload) if opcode == TEXT else None
    return frame(message) if message else b""


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and payload of each (RFC 6455, 5.2: unmasked, unfragmented)."""
    place = 0
    while place < len(data):
        opcode, size, start = data[place] & 0x0F, data[place + 1], place + 2
        width = {126: 2, 127: 8}.get(size, 0)
        if width:
            size, start = int.from_bytes(data[start : start + width]), start + width
        yield opcode, data[start : start + size]
        place = start + size


def _to_message(packet: bytes) -> bytes | None:
    kind, body = packet[:2], packet[2:]
    if kind == b"42":
        name, payload = _decode(body)
        return _encode(_shown(name, payload if isinstance(payload, dict) else {"data": payload}))
    if kind == b"40":
        return _encode({"type": "connected", "socketId": _decode(body)["sid"]})
    if kind == b"44":
        return _encode({"type": "space-error", **_decode(body).get("data", {})})
    return None


def _shown(name: str, payload: dict[str, Any]) -> dict[str, Any]:
    """An `entity-event` under its own name, as it was sent; `socketId` and `userAccount` are the server's word."""
    if name != "entity-event" or is_ours(payload["name"]):
        return {**payload, "type": name}
    data = payload["data"]
    sent = data if isinstance(data, dict) else {"data": data}
    stamp = {"socketId": payload["socketId"], "userAccount": payload["userAccount"]}
    return {**sent, **stamp, "type": payload["name"]}
