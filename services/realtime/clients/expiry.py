"""Disconnects clients whose token ran out without an `auth-refresh` in time, and tells them why."""

import time

import structlog

from libs.common.errors import SESSION_EXPIRED, PresenceError
from libs.common.metrics import DROPPED
from libs.common.tasks.background import Background
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client
from services.realtime.rooms.client_table import ClientTable
from services.realtime.transport.packets import EventPacket

_log = structlog.get_logger(__name__)
LOOK_SECONDS = 1.0


class Expiry:
    """A component."""

    def __init__(self, clients: ClientTable) -> None:
        self._clients = clients
        self._background = Background()

    async def start(self) -> None:
        self._background.every(LOOK_SECONDS, self._look)

    async def stop(self) -> None:
        await self._background.end()

    async def _look(self) -> None:
        now = time.time()
        for client in self._clients:
            if client.token.expires_at <= now:
                await self._expire(client)

    async def _expire(self, client: Client) -> None:
        _log.info("Socket expired", sid=client.sid)
        DROPPED.labels(SESSION_EXPIRED.code).inc()
        Broadcast.to_one(client, EventPacket("space-error", PresenceError(SESSION_EXPIRED).to_wire()))
        await self._clients.disconnect(client)
