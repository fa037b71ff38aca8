"""Prunes what is kept for a time only: spaces_auth's own tables, and the log for all.

python -m services.spaces_auth.retention.retention      now, in the service's environment
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from libs.common.clock import now
from libs.common.contracts.analytics import RETENTION_DAYS
from libs.common.db import log_retention
from libs.common.db.engine import Database
from libs.common.db.log_retention import InUse
from libs.common.db.pruning import delete_all, delete_older, prune_by_hand
from libs.common.metrics import LOG_MONTHS_DROPPED, LOG_UNPUBLISHED, TABLE_BYTES
from libs.common.settings import read
from libs.common.tasks.background import Background
from services.spaces_auth.retention import retention_repository as repository
from services.spaces_auth.settings import Settings

_log = structlog.get_logger(__name__)
LOOK_SECONDS = 600.0
STAYS = timedelta(hours=2)  # after a stay ended, or was last heard of
REMOVALS = timedelta(days=1)  # far longer than a socket goes without a review
ACTIVITY = timedelta(days=RETENTION_DAYS)
TOKENS = timedelta(days=1)  # after a refresh token ran out


class Retention:
    """A component that prunes when it starts and then every ten minutes. Any number of processes may do it at once."""

    def __init__(self, database: Database, log_days: int, stay_log_days: int, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._log = timedelta(days=log_days)
        self._stay_log = timedelta(days=stay_log_days)
        self._clock = clock
        self._background = Background()

    async def start(self) -> None:
        self._background.every(LOOK_SECONDS, self.prune, at_once=True)

    async def stop(self) -> None:
        await self._background.end()

    async def prune(self) -> None:
        """Deletes all whose time is over, and looks how much is left."""
        moment = self._clock()
        await self._prune_own(moment)
        await self._prune_log(moment)
        await self._prune_counters(moment - self._log)
        async with self._database.read() as connection:
            for table, size in (await repository.sizes(connection)).items():
                TABLE_BYTES.labels(table).set(size)

    async def _prune_own(self, moment: datetime) -> None:
        for columns, before in (
            (repository.STAYS, moment - STAYS),
            (repository.REMOVALS, moment - REMOVALS),
            (repository.ACTIVITY, moment - ACTIVITY),
            (repository.SUMS, (moment - ACTIVITY).astimezone(UTC).date()),
            (repository.TOKENS, moment - TOKENS),
        ):
            for column in columns:
                await delete_older(self._database, column, before)

    async def _prune_log(self, moment: datetime) -> None:
        """Drops whole months; in those that stay, what a whole month would have taken along goes row by row."""
        before = moment - self._log
        try:
            while month := await log_retention.drop_month(self._database, before):
                LOG_MONTHS_DROPPED.inc()
                _log.info("month of the log dropped", partition=month)
        except InUse:
            _log.warning("the log is being read, a month of it goes later")
        first = before.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        await self._delete_events(log_retention.delete_stays, moment - self._stay_log)
        await self._delete_events(log_retention.delete_events, first)
        async with self._database.read() as connection:
            unpublished = await log_retention.count_unpublished(connection, before)
        LOG_UNPUBLISHED.set(unpublished)
        if unpublished:
            _log.error("events that the broker never took keep their month of the log", events=unpublished)

    async def _prune_counters(self, before: datetime) -> None:
        await delete_all(self._database, "space_counters", partial(log_retention.delete_counters, before=before))
        async with self._database.transaction() as connection:
            await log_retention.raise_floor(connection, before)

    async def _delete_events(self, delete: Callable[..., Awaitable[int]], before: datetime) -> None:
        await delete_all(self._database, "event_log", partial(delete, before=before))


if __name__ == "__main__":
    given = read(Settings)
    prune_by_hand(
        "spaces_auth", given.database_url, lambda d: Retention(d, given.log_days, given.stay_log_days, now).prune()
    )
