"""Before this replica stops: tell its sockets, then let them go one by one, so that nobody is lost."""

import asyncio

import socketio

from services.realtime.clients.sockets import Sockets
from services.realtime.transport.packets import NAMESPACES

RETRY_AFTER = 1  # seconds; the other replicas are up


class Draining:
    """Drains after the door is shut (`SocketHttp`) and before anything that leaving needs."""

    def __init__(self, server: socketio.AsyncServer, sockets: Sockets) -> None:
        self._server, self._sockets = server, sockets

    async def start(self) -> None:
        """Nothing to do."""

    async def drain(self) -> None:
        for namespace in NAMESPACES:
            await self._server.emit("server-draining", {"retryAfter": RETRY_AFTER}, namespace=namespace)
        await asyncio.gather(*(self._sockets.let_go(client) for client in list(self._sockets.clients.values())))

    async def stop(self) -> None:
        """Nothing to do."""
