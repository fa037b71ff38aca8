"""Prunes what spaces_auth keeps for a time only, its own tables, an hour at most after their time."""

from datetime import UTC, date, datetime, timedelta

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
BATCH = 5000  # rows that a transaction deletes


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
        """Deletes the rows whose time is over, a transaction a batch."""
        moment = now()
        for columns, before in (
            (repository.STAYS, moment - STAYS),
            (repository.REMOVALS, moment - REMOVALS),
            (repository.ACTIVITY, moment - ACTIVITY),
            (repository.SUMS, (moment - ACTIVITY).astimezone(UTC).date()),
            (repository.TOKENS, moment - TOKENS),
        ):
            for column in columns:
                while await self._delete_batch(column, before) == BATCH:
                    pass

    async def _delete_batch(self, column: repository.Moment, before: datetime | date) -> int:
        async with self._database.transaction() as connection:
            return await repository.delete_older(connection, column, before, BATCH)
