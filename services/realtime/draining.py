"""Before this replica stops: tell its sockets, then let them go one by one, so that nobody is lost."""

import asyncio

import socketio

from services.realtime.frames import NAMESPACES
from services.realtime.sockets import Sockets

RETRY_AFTER = 1  # seconds; the other replicas are up


class Farewell:
    """Drains after the door is shut (`SocketHttp`) and before anything that leaving needs."""

    def __init__(self, server: socketio.AsyncServer, sockets: Sockets) -> None:
        self._server, self._sockets = server, sockets

    async def start(self) -> None:
        """Nothing to do."""

    async def drain(self) -> None:
        for namespace in NAMESPACES:
            await self._server.emit("server-draining", {"retryAfter": RETRY_AFTER}, namespace=namespace)
        await asyncio.gather(*(self._sockets.let_go(session) for session in list(self._sockets.sessions.values())))

    async def stop(self) -> None:
        """Nothing to do."""
