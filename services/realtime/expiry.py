"""Tokens run out on live sockets too: without `auth-refresh` in time the socket is told why and closed."""

import time

import structlog

from libs.common.background import Background
from libs.common.errors import SESSION_EXPIRED, PresenceError
from libs.common.metrics import DROPPED
from services.realtime.broadcast import Broadcast
from services.realtime.frames import Outgoing
from services.realtime.sessions import Session
from services.realtime.sockets import Sockets

_log = structlog.get_logger(__name__)
LOOK_SECONDS = 1.0


class Expiry:
    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._background = Background()

    async def start(self) -> None:
        self._background.every(LOOK_SECONDS, self._look)

    async def stop(self) -> None:
        await self._background.end()

    async def _look(self) -> None:
        now = time.time()
        for session in [s for s in self._sockets.sessions.values() if s.token.expires_at <= now]:
            await self._expire(session)

    async def _expire(self, session: Session) -> None:
        _log.info("Socket expired", sid=session.sid)
        DROPPED.labels("session_expired").inc()
        Broadcast.to_one(session, Outgoing("space-error", PresenceError(SESSION_EXPIRED).to_wire()))
        await self._sockets.end(session)
