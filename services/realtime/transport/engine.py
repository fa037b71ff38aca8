"""Engine.IO's WebSocket, made direct: what is written goes straight to the transport.

This module holds every private part of engineio that we rely on; the rest of Engine.IO (polling, the
handshake, heartbeats, closing) stays the library's. Read from engineio 4.15.1:

* `AsyncServer._handle_connect` makes an `async_socket.AsyncSocket` and puts it into `self.sockets`; our
  mapping turns it into a `DirectSocket` as it goes in.
* `AsyncSocket._websocket_handler` starts a writer task per socket and a task and a timer per received
  packet; ours has neither. Heartbeats are watched by the server's own service task.
* `AsyncSocket.close` may wait for ever for a client that polls no more, says nothing when a heartbeat is missed, and
  leaves a poll that waits unanswered; `handle_get_request` lets two polls take turns with one's packets;
  `handle_post_request` reads part of a body, and its caller answers an unreadable one with OK.
* `AsyncServer.start_background_task` begins a packet's handling in a later turn of the loop, when the connection that
  brought it may have ended: ours begins it at once, so that all that came before an end is in hand by then.
* the aiohttp driver's `WebSocket` leaves permessage-deflate on: 100 KB a connection; ours does not. aiohttp itself
  answers PINGs of the WebSocket where nobody counts them; ours are answered in the loop that counts. It also lets half
  a megabyte of frames wait for whoever reads them, for each connection, and answers a Close by itself (`autoclose`).

`tests/unit/realtime/transport/test_library_seams.py` fails when one of these changes.
"""

import asyncio
import contextlib
import secrets
import struct
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import engineio
import msgspec
import structlog
from aiohttp import WSMessage, WSMsgType, web, web_ws
from engineio.async_drivers.aiohttp import WebSocket
from engineio.async_socket import AsyncSocket
from engineio.exceptions import EngineIOError, SocketIsClosedError, UnknownPacketError
from engineio.packet import CLOSE, MESSAGE, NOOP, PING, PONG, UPGRADE, Packet

from libs.common.errors import RATE_LIMITED, PresenceError
from libs.common.metrics import DROPPED
from services.realtime.transport.flood_gate import FloodGate
from services.realtime.transport.payloads import SEPARATOR, decode_payload, read_body

_log = structlog.get_logger(__name__)
TEXT, BINARY, CLOSE_FRAME = 1, 2, 8  # opcodes (RFC 6455, 5.2)
SERVICE_RESTART, TRY_AGAIN_LATER = struct.pack("!H", 1012), struct.pack("!H", 1013)  # close codes (IANA's registry)
LAST_SECONDS = 2.0  # a dropped connection has for its last bytes
MOST_UNREAD = 256 * 1024  # bytes that a client may leave unread and still be listened to
UNREAD_PAUSE = 0.05  # seconds between two looks at that
MAX_QUEUED = 1024  # packets that may wait for a client that polls
UPGRADE_SECONDS = 30.0  # from the WebSocket's opening to the client's last word about it; longer than a CONNECT waits,
# since engine.io-client first has that answered, and hears nothing any more where its upgrade is given up meanwhile
MOST_WAITING_BYTES = 16 * 1024  # of frames that came and are not read yet; aiohttp stops reading at twice that
web_ws.DEFAULT_CHUNK_SIZE = MOST_WAITING_BYTES  # type: ignore[attr-defined]
_CARRIES_DATA = {WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG}
_closing: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Returns one unmasked, unfragmented WebSocket frame (RFC 6455, 5.2)."""
    return frame_header(len(payload), opcode) + payload


def frame_header(size: int, opcode: int = TEXT) -> bytes:
    """Returns the header of a frame whose payload has `size` bytes."""
    if size < 126:
        return bytes((0x80 | opcode, size))
    if size < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size)
    return struct.pack("!BBQ", 0x80 | opcode, 127, size)


_FLOODING = frame(b'42["space-error",' + msgspec.json.encode(PresenceError(RATE_LIMITED).to_wire()) + b"]")


def new_socket_id(replica_id: str, life: str) -> str:
    """Returns `r1-5f3a-…`: Caddy finds the replica by the first part; the second tells its lives apart."""
    return f"{replica_id}-{life}-{secrets.token_urlsafe(12)}"


class DirectWebSocket(WebSocket):  # type: ignore[misc]  # the library is untyped
    """aiohttp's WebSocket without permessage-deflate; `request` gives the transport."""

    heartbeat: float | None = None  # seconds between pings of the WebSocket itself

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request: web.Request = environ["aiohttp.request"]
        most = self.server.max_http_buffer_size
        self._sock = web.WebSocketResponse(
            max_msg_size=most, compress=False, autoping=False, autoclose=False, heartbeat=self.heartbeat
        )
        await self._sock.prepare(request)
        self.environ, self.request = environ, request
        await self.handler(self)
        return self._sock

    @property
    def response(self) -> web.WebSocketResponse:
        response: web.WebSocketResponse = self._sock
        return response


class DirectSocket(AsyncSocket):  # type: ignore[misc]
    """An Engine.IO socket. `transport` is set while it is upgraded and nothing waits in its queue.

    `hot` is asked first about each text message; it returns True for one that it handled.
    """

    connected: bool
    upgrading: bool
    transport: asyncio.WriteTransport | None = None
    hot: Callable[[str], bool] | None = None
    _web_socket: DirectWebSocket | None = None
    _polling = False
    _gate: FloodGate | None = None
    _queued = 0  # bytes of messages that a client which polls has yet to fetch
    _hung_up: tuple[asyncio.WriteTransport, asyncio.Event] | None = None  # the event tells its end

    @property
    def backlog(self) -> int:
        """Bytes written and not yet taken by the kernel, or not yet fetched by a client that polls."""
        return self.transport.get_write_buffer_size() if self.transport else self._queued

    def write(self, data: bytes) -> None:
        """Writes whole frames to an upgraded socket. uvloop raises on a closed transport: nothing to do."""
        try:
            if self.transport:
                self.transport.write(data)
        except RuntimeError:
            self.transport = None

    def write_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        """Writes several pieces without joining them."""
        try:
            if self.transport and len(parts) == 1:
                self.transport.write(parts[0])
            elif self.transport:
                self.transport.writelines(parts)
        except RuntimeError:
            self.transport = None

    @property
    def is_busy(self) -> bool:
        """Returns whether the client has not taken yet what it was sent last."""
        return self.backlog > 0 if self.transport else not self.queue.empty()

    def queue_message(self, text: str) -> None:
        """Queues one message for a socket that polls or is upgrading."""
        if self.queue.qsize() < MAX_QUEUED:
            self._queued += len(text)
            self.queue.put_nowait(Packet(MESSAGE, text))
        else:
            self.drop()

    def drop(self, farewell: bytes = b"") -> None:
        """Ends the connection. A client that still reads gets `farewell` (whole frames) within `LAST_SECONDS`."""
        transport, self.transport = self.transport, None
        if transport and not transport.is_closing():
            transport.write(farewell)
            transport.close()
            asyncio.get_running_loop().call_later(LAST_SECONDS, transport.abort)
        _in_background(self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR))

    async def hang_up(self) -> None:
        """Ends the connection so that its client comes back: without a word of Socket.IO or Engine.IO, both of which
        would say that the server does not want it any more.

        What the client sent before it read that is carried out; it has `LAST_SECONDS` to answer. Returns when all of
        it is in hand.
        """
        if self._hung_up is None and self.transport and not self.transport.is_closing():
            transport, self.transport = self.transport, None
            self._hung_up = transport, asyncio.Event()
            transport.write(frame(SERVICE_RESTART, CLOSE_FRAME))
            asyncio.get_running_loop().call_later(LAST_SECONDS, transport.abort)
        if self._hung_up:
            await self._hung_up[1].wait()
        else:
            await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)

    def turn_away(self, error: PresenceError) -> None:
        """Ends the connection so that its client tries again, and says why in the WebSocket's close frame."""
        self.drop(frame(TRY_AGAIN_LATER + error.kind.code.encode(), CLOSE_FRAME))

    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """Closes at once, whatever `wait` says, and answers a poll that waits: a client that is gone polls no more."""
        if self.closing or self.closed:
            return
        self.last_ping = None  # or `send` would look at a missed heartbeat instead of sending CLOSE
        await super().close(wait=False, abort=abort, reason=reason)
        if abort:
            self.queue.put_nowait(Packet(NOOP))

    async def handle_get_request(self, environ: dict[str, Any]) -> Any:
        """A poll, or the WebSocket. A second poll beside the first ends the client (protocol 4)."""
        if "HTTP_UPGRADE" in environ or self.upgrading:
            return await super().handle_get_request(environ)
        if self._polling:
            raise EngineIOError("two polls at once")
        self._polling = True
        try:
            return await super().handle_get_request(environ)
        finally:
            self._polling = False

    async def poll(self) -> Any:
        """Waits for packets, and returns all there are."""
        packets = await super().poll()
        self._queued = 0
        return packets

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Raises `EngineIOError` for what cannot be read: the client ends, and the answer is 400."""
        body = await read_body(environ["aiohttp.request"], self.server.max_http_buffer_size)
        if not await self._let_in(len(body), body.count(SEPARATOR) + 1):
            raise EngineIOError("the client is gone")
        for pkt in decode_payload(body):
            if not self.is_gone:
                await self.receive(pkt)

    async def send(self, pkt: Packet) -> None:
        if self._hung_up:
            return
        if self.transport is None and self.queue.qsize() >= MAX_QUEUED:  # acks of one who asks and never polls
            self.drop()
        elif self.transport is None:
            await super().send(pkt)
        elif await self.check_ping_timeout():
            self._write_packet(pkt)

    def _write_packet(self, pkt: Packet) -> None:
        encoded = pkt.encode()
        self.write(frame(encoded.encode(), TEXT) if isinstance(encoded, str) else frame(encoded, BINARY))
        if pkt.packet_type == CLOSE and self._web_socket and self.transport:
            _in_background(self._web_socket.close())
            asyncio.get_running_loop().call_later(LAST_SECONDS, self.transport.abort)

    async def _websocket_handler(self, ws: DirectWebSocket) -> None:
        if self.connected and not await self._upgrade(ws):
            return
        self.connected = self.upgraded = True
        self._go_direct(ws)
        try:
            await self._begin()
            async for message in ws.response:
                if not await self._take(message, ws.response):
                    break
        finally:
            self.transport = None
            await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)
            if self._hung_up:
                self._hung_up[0].close()
                self._hung_up[1].set()

    async def _begin(self) -> None:
        """Before the first message is read."""

    async def _upgrade(self, ws: DirectWebSocket) -> bool:
        """The probe of a client that polls (Engine.IO protocol 4, "Upgrade"). There is one attempt at a time."""
        if self.upgrading:
            return False
        self.upgrading = True  # the poll answers with NOOP meanwhile
        try:
            async with asyncio.timeout(UPGRADE_SECONDS):
                return await self._probe(ws.response) and not self.closed
        except TimeoutError:
            return False
        finally:
            self.upgrading = False

    async def _probe(self, response: web.WebSocketResponse) -> bool:
        if await _next(response) != f"{PING}probe":
            return False
        await response.send_str(f"{PONG}probe")
        if self._polling:
            await self.queue.put(Packet(NOOP))  # ends the poll that waits
        return await _next(response) == f"{UPGRADE}"

    def _go_direct(self, ws: DirectWebSocket) -> None:
        """Goes from queue to transport without a break: nothing can come between, since nothing is awaited."""
        self._web_socket, self.transport = ws, ws.request.transport
        while not self.queue.empty():
            waiting = self.queue.get_nowait()
            self.queue.task_done()
            if waiting is not None:
                self._write_packet(waiting)
        self._queued = 0

    async def _let_in(self, size: int, packets: int = 1) -> bool:
        """Counts packets before they are read, and reads none of a client that does not read what it is sent.

        Returns False for a connection that is closed, or ended now since it keeps sending too much. That is told it
        each time before: what is unread at the end resets the connection, and its last word is lost.
        """
        if self._gate is None:
            self._gate = FloodGate(self.server.rate_limit_factor, warn=partial(self.write, _FLOODING))
        is_good = await self._gate.let_in(size, packets)
        while is_good and self.is_listening and self.transport and self.backlog > MOST_UNREAD:  # noqa: ASYNC110  no event
            await asyncio.sleep(UNREAD_PAUSE)
        if is_good or self.is_gone:
            return not self.is_gone
        _log.warning("Socket dropped: it floods", sid=self.sid)
        DROPPED.labels(RATE_LIMITED.code).inc()
        self.drop(_FLOODING)
        return False

    @property
    def is_gone(self) -> bool:
        """Returns whether the server has ended the connection. What a client sent before it went is still taken."""
        return bool(self.closed or self.closing)

    @property
    def is_listening(self) -> bool:
        """Returns whether the client may still read what it is sent."""
        is_cut = self.transport is not None and self.transport.is_closing()
        return not (self.is_gone or self._hung_up or is_cut)

    async def _take(self, message: WSMessage, response: web.WebSocketResponse) -> bool:
        """Takes one message of the WebSocket. Returns False when the connection is to end."""
        if message.type not in _CARRIES_DATA or not await self._let_in(len(message.data)):
            return False
        if message.type is WSMsgType.PING:
            with contextlib.suppress(ConnectionError):  # of a client that is gone, whose messages are yet to be read
                await response.pong(message.data)
        elif message.type is not WSMsgType.PONG:
            return await self._read(message.data)
        return True

    async def _read(self, data: str | bytes) -> bool:
        """Reads one packet that was let in. Returns False when the connection is to end."""
        if self.hot and isinstance(data, str) and self.hot(data):
            return True
        try:
            await self.receive(Packet(encoded_packet=data))
        except SocketIsClosedError:
            return False
        except (UnknownPacketError, ValueError, IndexError) as error:
            _log.info("Socket sent what is no Engine.IO packet", sid=self.sid, error=repr(error))
            return False
        return not self.closed


async def _next(response: web.WebSocketResponse) -> object:
    return (await response.receive()).data


def _in_background(work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)
    _closing.add(task)
    task.add_done_callback(_closing.discard)


class _Sockets(dict[str, Any]):
    """engineio's sockets by id; each becomes a `DirectSocket` as it comes in, if it is none."""

    def __setitem__(self, sid: str, socket: Any) -> None:
        if not isinstance(socket, DirectSocket):
            socket.__class__ = DirectSocket
        super().__setitem__(sid, socket)


def engine_class(replica_id: str, life: str, factor: float = 1.0) -> type[engineio.AsyncServer]:
    """Returns an Engine.IO server class whose ids name the replica and whose sockets are direct."""

    class EngineServer(engineio.AsyncServer):  # type: ignore[misc]
        _async: dict[str, Any]
        rate_limit_factor = factor

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.sockets = _Sockets()
            driver: dict[str, Any] = self._async  # shared by all servers of the process
            self._async = {**driver, "websocket": DirectWebSocket}

        def generate_id(self) -> str:
            return new_socket_id(replica_id, life)

        def start_background_task[**P](
            self, target: Callable[P, Coroutine[Any, Any, None]], *args: P.args, **kwargs: P.kwargs
        ) -> asyncio.Task[None]:
            """Runs a coroutine up to its first wait at once, the rest as a task."""
            return asyncio.Task(target(*args, **kwargs), loop=asyncio.get_running_loop(), eager_start=True)

        async def handle_request(self, request: web.Request) -> web.StreamResponse:
            """The library takes a missing `transport` for polling; the protocol demands a 400.

            It also fails over a POST to a client that is closed and not yet forgotten.
            """
            sid = request.query.get("sid", "")
            if sid in self.sockets and self.sockets[sid].closed:
                del self.sockets[sid]
            if "transport" in request.query or request.method == "OPTIONS":
                answer: web.StreamResponse = await super().handle_request(request)
            else:
                refusal, environ = self._bad_request("Missing transport"), self._async["translate_request"](request)
                answer = await self._make_response(refusal, environ)
            return answer

    return EngineServer
