"""The Socket.IO server: python-socketio on aiohttp, with what we change of it in this one module.

Read from python-socketio 5.18.1: `AsyncServer._handle_eio_message`, one Engine.IO message; `_handle_connect` and
`_handle_event`, what it holds; `_binary_packet`, the events that wait for attachments, by Engine.IO id.
`tests/unit/realtime/transport/test_library_seams.py` fails when they change; docs/wire.md says where we depart from it.
"""

import asyncio
import re
from typing import Any

import engineio
import msgspec
import socketio
import structlog
from aiohttp import web
from socketio.packet import CONNECT_ERROR

from libs.common.addresses import limited
from libs.common.edge.allowed_origins import AllowedOrigins
from libs.common.edge.nesting import is_too_deep
from libs.common.edge.origin import client_address
from libs.common.errors import INVALID_INPUT, NOT_FOUND, RATE_LIMITED, TOO_LARGE, PresenceError
from services.realtime.settings import Settings
from services.realtime.transport.engine import LAST_SECONDS, engine_class
from services.realtime.transport.handshakes import Handshakes
from services.realtime.transport.packets import DEFAULT_NAMESPACE, NAMESPACES, AckPacket, EventPacket
from services.realtime.transport.plain_websocket import plain_engine

_log = structlog.get_logger(__name__)
MAX_MESSAGE = 64 * 1024  # bytes, attachments included; a larger one is refused with a reason
MAX_BUFFER = 1024 * 1024  # bytes; a larger one ends the connection, unread
MAX_ATTACHMENTS = 10  # of one event; the reference parser's limit
CONNECT_SECONDS = 45.0  # a connection may be in no namespace; the reference server's `connectTimeout`
BACKLOG = 4096  # connections that may wait to be accepted: a whole room reconnects at once
# An event packet with an ack id: `2`, an attachment count, a namespace, the id (Socket.IO protocol 5).
_HEAD = re.compile(r"[25](?:\d+-)?(?:(/[^,\[]*),)?(\d+)?")
# Names that only the library itself may give an event; the reference parser refuses them too.
RESERVED = {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError)


class Json:
    """The JSON module python-socketio is given: msgspec's, which takes neither NaN nor endless depth."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str, **_: Any) -> Any:
        if is_too_deep(text):
            raise ValueError("nested too deeply")
        return msgspec.json.decode(text)


class Server(socketio.AsyncServer):  # type: ignore[misc]  # the library is untyped
    """Refuses what it cannot read with `invalid_input` and goes on; disconnects a socket that is in no namespace."""

    def __init__(self, settings: Settings, life: str, origins: AllowedOrigins) -> None:
        self._name = (settings.replica_id, life, settings.rate_limit_factor)
        super().__init__(
            async_mode="aiohttp",
            cors_allowed_origins=origins,  # the library asks whether an Origin is in them, and no more
            cors_credentials=True,
            namespaces=list(NAMESPACES),
            json=Json,
            max_http_buffer_size=MAX_BUFFER,
            ping_interval=settings.ping_interval_seconds,
            ping_timeout=settings.ping_timeout_seconds,
            logger=False,
            engineio_logger=False,
        )
        self._settings = settings
        self._handshakes = Handshakes(round(settings.handshakes_per_address * settings.rate_limit_factor))
        self.eio.events = self.handlers.setdefault(DEFAULT_NAMESPACE, {})  # what plain clients may name

    def _engineio_server_class(self) -> type[engineio.AsyncServer]:
        return plain_engine(engine_class(*self._name))

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> Any:
        """Returns the reason of a refusal, which the library sends with 401; None where there is none."""
        request: web.Request = environ["aiohttp.request"]
        address = client_address(request.remote or "", request.headers, self._settings)
        if not self._handshakes.begin(eio_sid, limited(address)):
            return PresenceError(RATE_LIMITED, "Too many connections that are in no namespace.").to_wire()
        await super()._handle_eio_connect(eio_sid, environ)
        asyncio.get_running_loop().call_later(CONNECT_SECONDS, self._check_connected, eio_sid)
        return None

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self._handshakes.end(eio_sid)
        await super()._handle_eio_disconnect(eio_sid, reason)

    def _check_connected(self, eio_sid: str) -> None:
        if not self._is_connected(eio_sid):
            self.start_background_task(self.eio.disconnect, eio_sid)

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        """Disconnects a client, and cuts one off that stays: it would hold a connection that nobody counts."""
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace or DEFAULT_NAMESPACE)
        await super().disconnect(sid, namespace=namespace, ignore_queue=ignore_queue)
        if eio_sid:
            asyncio.get_running_loop().call_later(LAST_SECONDS, self._check_connected, eio_sid)

    def _is_connected(self, eio_sid: str) -> bool:
        return any(self.manager.sid_from_eio_sid(eio_sid, namespace) for namespace in NAMESPACES)

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        """Connects to a namespace. Refuses with an object, of which a client shows more than of the library's text.

        After a CONNECT_ERROR socket.io-client never tries again: so none is sent for what is temporary, which the
        handler of `connect` raises; the connection closes, and the client comes back.
        """
        name = namespace or DEFAULT_NAMESPACE
        known = name in NAMESPACES
        if known and not self.manager.sid_from_eio_sid(eio_sid, name):
            try:
                await super()._handle_connect(eio_sid, namespace, data)
            except PresenceError as error:
                await self._turn_away(eio_sid, name, error)
            if self._is_connected(eio_sid):
                self._handshakes.end(eio_sid)
            await self._let_go_of_gone(eio_sid, name)
            return
        reason = {"message": "Already connected" if known else "Invalid namespace"}
        await self._send_packet(eio_sid, self.packet_class(CONNECT_ERROR, data=reason, namespace=name))

    async def _turn_away(self, eio_sid: str, namespace: str, error: PresenceError) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        await self.manager.disconnect(sid, namespace, ignore_queue=True)
        if socket := self.eio.sockets.get(eio_sid):
            _log.info("Socket turned away", sid=sid, code=error.kind.code)
            socket.turn_away(error)

    async def _let_go_of_gone(self, eio_sid: str, namespace: str) -> None:
        """Disconnects a client that went away while it was connecting, which the library overlooks."""
        socket = self.eio.sockets.get(eio_sid)
        if socket is None or socket.is_gone:
            await self._handle_disconnect(eio_sid, namespace, self.reason.TRANSPORT_CLOSE)

    async def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: Any) -> None:
        if not (isinstance(data, list) and data and isinstance(data[0], str) and data[0] not in RESERVED):
            raise ValueError("no event")
        if data[0] not in self.handlers.get(namespace or DEFAULT_NAMESPACE, {}):
            raise PresenceError(NOT_FOUND, "There is no event of that name.")
        await super()._handle_event(eio_sid, namespace, id, data)

    # One message.

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        waiting = self._binary_packet.get(eio_sid)
        if waiting and isinstance(data, str):  # the library would take it for the attachment
            await self._refuse_event(eio_sid, waiting, PresenceError(INVALID_INPUT, "An attachment is missing."))
            waiting = None
        try:
            self._check_size(data, waiting)
            await super()._handle_eio_message(eio_sid, data)
            self._check_attachments(eio_sid)
        except PresenceError as error:
            await self._refuse(eio_sid, data, waiting, error)
        except UNREADABLE as error:
            _log.info("Socket packet refused", sid=eio_sid, error=repr(error))
            await self._refuse(eio_sid, data, waiting, PresenceError(INVALID_INPUT, "The packet could not be read."))
        if not self._is_connected(eio_sid) and not _asks_to_connect(data):
            await self.eio.disconnect(eio_sid)

    @staticmethod
    def _check_size(data: str | bytes, waiting: Any) -> None:
        size = len(data) + (sum(map(len, waiting.attachments)) if waiting else 0)
        if size > MAX_MESSAGE:
            raise PresenceError(TOO_LARGE, f"A message is at most {MAX_MESSAGE} bytes.")

    def _check_attachments(self, eio_sid: str) -> None:
        waiting = self._binary_packet.get(eio_sid)
        if waiting and not 0 < waiting.attachment_count <= MAX_ATTACHMENTS:
            raise PresenceError(INVALID_INPUT, f"A binary event has 1 to {MAX_ATTACHMENTS} attachments.")

    async def _refuse(self, eio_sid: str, data: str | bytes, waiting: Any, error: PresenceError) -> None:
        """Refuses the event that waited for an attachment, or the message by what can be read of its beginning."""
        waiting = waiting or self._binary_packet.get(eio_sid)
        if waiting:
            await self._refuse_event(eio_sid, waiting, error)
            return
        head = _HEAD.match(data[:128]) if isinstance(data, str) else None
        self._tell_refusal(eio_sid, head and head[1], int(head[2]) if head and head[2] else None, error)

    async def _refuse_event(self, eio_sid: str, event: Any, error: PresenceError) -> None:
        self._binary_packet.pop(eio_sid, None)
        self._tell_refusal(eio_sid, event.namespace, event.id, error)

    def _tell_refusal(self, eio_sid: str, namespace: str | None, ack_id: int | None, error: PresenceError) -> None:
        """`space-error`, and the ack if the packet asked for one: written at once, since a flood is mostly refusals."""
        namespace = namespace or DEFAULT_NAMESPACE
        socket = self.eio.sockets.get(eio_sid)
        if socket is None or self.manager.sid_from_eio_sid(eio_sid, namespace) is None:
            return
        EventPacket("space-error", error.to_wire()).send(socket, namespace)
        if ack_id is not None:
            AckPacket(ack_id, {"ok": False, **error.to_wire()}).send(socket, namespace)


def _asks_to_connect(data: str | bytes) -> bool:
    """A CONNECT that was refused leaves the connection open, for another try."""
    return data[:1] == "0"


def _readable_for(origins: AllowedOrigins) -> Any:
    """Has pages that may call read every answer: what aiohttp refuses by itself never comes to the library."""

    async def name_origin(request: web.Request, response: web.StreamResponse) -> None:
        if not isinstance(response, web.WebSocketResponse):
            response.headers.update(origins.cors(request.headers.get("Origin")))
            response.headers["Vary"] = "Origin"

    return name_origin


class SocketHttp:
    """The HTTP side: a component that serves `/socket.io/`."""

    def __init__(self, server: Server, host: str, port: int) -> None:
        self._host = host
        self._port = port
        app = web.Application()
        server.attach(app, "socket.io")
        app.on_response_prepare.append(_readable_for(server.eio.cors_allowed_origins))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._site: web.TCPSite | None = None

    async def start(self) -> None:
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, self._host, self._port, backlog=BACKLOG)
        await self._site.start()

    async def drain(self) -> None:
        """Take no new connections: Caddy gives them to another replica."""
        if self._site:
            await self._site.stop()
            self._site = None

    async def stop(self) -> None:
        await self._runner.cleanup()
