"""Prunes what spaces_auth keeps for a time only, its own tables, an hour at most after their time."""

from datetime import timedelta

from libs.common.clock import now
from libs.common.contracts.analytics import RETENTION_DAYS
from libs.common.db.engine import Database
from libs.common.tasks.background import Background
from services.spaces_auth.retention import retention_repository as repository

LOOK_SECONDS = 600.0
STAYS = timedelta(hours=2)  # after a stay ended, or was last heard of
REMOVALS = timedelta(days=1)  # far longer than a socket goes without a review
ACTIVITY = timedelta(days=RETENTION_DAYS)
TOKENS = timedelta(days=1)  # after a refresh token ran out


class Retention:
    """A component that prunes now and then. Any number of processes may do it at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._background = Background()

    async def start(self) -> None:
        self._background.every(LOOK_SECONDS, self.prune)

    async def stop(self) -> None:
        await self._background.end()

    async def prune(self) -> None:
        """Deletes the rows whose time is over, one transaction a table."""
        moment = now()
        for delete, before in (
            (repository.delete_stays, moment - STAYS),
            (repository.delete_removals, moment - REMOVALS),
            (repository.delete_activity, moment - ACTIVITY),
            (repository.delete_reports, moment - ACTIVITY),
            (repository.delete_refresh_tokens, moment - TOKENS),
        ):
            async with self._database.transaction() as connection:
                await delete(connection, before)
