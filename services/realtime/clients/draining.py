"""Tells this replica's clients that it stops, then lets them go one by one, so that nobody is lost."""

import asyncio

import socketio

from libs.common.errors import DRAINING
from services.realtime.membership.entering import Entering
from services.realtime.rooms.client import Client
from services.realtime.rooms.client_table import ClientTable
from services.realtime.transport.packets import NAMESPACES

RETRY_AFTER = 1  # seconds; the other replicas are up


class Draining:
    """A component that drains after the door is shut (`SocketHttp`) and before anything that leaving needs."""

    def __init__(self, server: socketio.AsyncServer, clients: ClientTable, entering: Entering) -> None:
        self._server = server
        self._clients = clients
        self._entering = entering

    async def start(self) -> None:
        """Nothing to do."""

    async def drain(self) -> None:
        notice = {"retryAfter": RETRY_AFTER, "code": DRAINING.code}
        for namespace in NAMESPACES:
            await self._server.emit("server-draining", notice, namespace=namespace)
        await asyncio.gather(*(self._let_go(client) for client in self._clients))

    async def _let_go(self, client: Client) -> None:
        """Hangs up, so that the client comes back to another replica, and keeps its place there."""
        await client.engine.hang_up()
        async with client.turn:
            await self._entering.drop(client)

    async def stop(self) -> None:
        """Nothing to do."""
