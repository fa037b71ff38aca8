"""Forgetting: what spaces_auth keeps for a time only, its own tables, an hour at most after their time."""

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, or_

from libs.common.clock import now
from libs.common.contracts.analytics import RETENTION_DAYS
from libs.common.db.engine import Database
from libs.common.db.models.auth import RefreshToken
from libs.common.db.models.spaces import PresenceSession, SpaceActivity, SpaceRemoval, WebrtcReport
from libs.common.tasks.background import Background

LOOK_SECONDS = 600.0
SESSIONS = timedelta(hours=2)  # after a session ended, or was last heard of
REMOVALS = timedelta(days=1)  # far longer than a socket goes without a review
ACTIVITY = timedelta(days=RETENTION_DAYS)
TOKENS = timedelta(days=1)  # after a refresh token ran out


class Retention:
    """A component. Any number of processes may do it at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._background = Background()

    async def start(self) -> None:
        self._background.every(LOOK_SECONDS, self.prune)

    async def stop(self) -> None:
        await self._background.end()

    async def prune(self) -> None:
        """Delete what has had its time."""
        moment = now()
        ended = or_(
            PresenceSession.left_at < moment - SESSIONS,
            PresenceSession.left_at.is_(None) & (PresenceSession.last_activity < moment - SESSIONS),
        )
        conditions: list[tuple[Any, Any]] = [
            (PresenceSession, ended),
            (SpaceRemoval, SpaceRemoval.created_at < moment - REMOVALS),
            (SpaceActivity, SpaceActivity.occurred_at < moment - ACTIVITY),
            (WebrtcReport, WebrtcReport.created_at < moment - ACTIVITY),
            (RefreshToken, RefreshToken.expires_at < moment - TOKENS),
        ]
        for table, old in conditions:
            async with self._database.transaction() as connection:
                await connection.execute(delete(table).where(old))
