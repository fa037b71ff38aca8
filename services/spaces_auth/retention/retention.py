"""Prunes what is kept for a time only, an hour at most after it: spaces_auth's own tables, and the log for all."""

from collections.abc import Awaitable, Callable
from datetime import UTC, timedelta
from functools import partial

from libs.common.clock import now
from libs.common.contracts.analytics import RETENTION_DAYS
from libs.common.db import log_retention
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

    def __init__(self, database: Database, log_days: int, stay_log_days: int) -> None:
        self._database = database
        self._log = timedelta(days=log_days)
        self._stay_log = timedelta(days=stay_log_days)
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
                await self._delete_all(partial(repository.delete_older, column=column, before=before))
        await self._delete_all(partial(log_retention.delete_stays, before=moment - self._stay_log))
        await self._delete_all(partial(log_retention.delete_events, before=moment - self._log))
        await self._delete_all(partial(log_retention.delete_counters, before=moment - self._log))
        async with self._database.transaction() as connection:
            await log_retention.raise_floor(connection, moment - self._log)

    async def _delete_all(self, delete: Callable[..., Awaitable[int]]) -> None:
        deleted = BATCH
        while deleted == BATCH:
            async with self._database.transaction() as connection:
                deleted = await delete(connection, limit=BATCH)
