"""The Socket.IO server: python-socketio on aiohttp, with what we change of it in this one module.

Read from python-socketio 5.18.1: `AsyncServer._handle_eio_message`, one Engine.IO message.
`tests/unit/realtime/test_library_seams.py` fails when they change.
"""

import re
from collections.abc import Sequence
from typing import Any

import engineio
import msgspec
import socketio
import structlog
from aiohttp import web
from socketio.packet import ACK

from libs.common.errors import INVALID_INPUT, TOO_LARGE, PresenceError
from services.realtime.engine import engine_class

_log = structlog.get_logger(__name__)
MAX_MESSAGE = 64 * 1024  # bytes; a larger one is refused with a reason
MAX_BUFFER = 1024 * 1024  # bytes; a larger one ends the connection, unread
BACKLOG = 4096  # connections that may wait to be accepted: a whole room reconnects at once
PING_INTERVAL, PING_TIMEOUT = 25, 20  # seconds; whole ones, engineio truncates
# An event packet with an ack id: `2`, an attachment count, a namespace, the id (Socket.IO protocol 5).
_ACK_ID = re.compile(r"[25](?:\d+-)?(?:(/[^,]*),)?(\d+)\[")


class Json:
    """The JSON module python-socketio is given: msgspec's, which takes neither NaN nor endless depth."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        try:
            return msgspec.json.decode(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


class Server(socketio.AsyncServer):  # type: ignore[misc]  # the library is untyped
    """Refuses what it cannot read with the contract's error, and goes on."""

    def __init__(self, replica_id: str, life: str, origins: Sequence[str]) -> None:
        self._name = (replica_id, life)
        super().__init__(
            async_mode="aiohttp",
            cors_allowed_origins=list(origins),
            cors_credentials=True,
            namespaces="*",
            json=Json,
            max_http_buffer_size=MAX_BUFFER,
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            logger=False,
            engineio_logger=False,
        )

    def _engineio_server_class(self) -> type[engineio.AsyncServer]:
        return engine_class(*self._name)

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        if len(data) > MAX_MESSAGE:
            await self._refuse(eio_sid, data, PresenceError(TOO_LARGE, f"A message is at most {MAX_MESSAGE} bytes."))
            return
        try:
            await super()._handle_eio_message(eio_sid, data)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            _log.info("Socket packet refused", sid=eio_sid, error=repr(error))
            await self._refuse(eio_sid, data, PresenceError(INVALID_INPUT, "The packet could not be read."))

    async def _refuse(self, eio_sid: str, data: str | bytes, error: PresenceError) -> None:
        """`space-error`, and the ack if the packet asked for one."""
        match = _ACK_ID.match(data[:128]) if isinstance(data, str) else None
        namespace = (match and match[1]) or "/"
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None:
            return
        await self.emit("space-error", error.to_wire(), to=sid, namespace=namespace)
        if match:
            packet = self.packet_class(
                ACK,
                namespace=namespace,
                id=int(match[2]),
                data=[{"ok": False, **error.to_wire()}],
            )
            await self._send_packet(eio_sid, packet)


class SocketHttp:
    """The HTTP side: a component that serves `/socket.io/`."""

    def __init__(self, server: Server, host: str, port: int) -> None:
        self._host, self._port = host, port
        app = web.Application()
        server.attach(app, "socket.io")
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
