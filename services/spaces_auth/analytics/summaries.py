"""Sums activity up for the views of analytics, seconds after it happened, so that no view reads all of it."""

from libs.common.db.engine import Database
from libs.common.tasks.background import Background
from services.spaces_auth.analytics import summaries_repository as repository

EVERY_SECONDS = 2.0


class Summaries:
    """A component. Any number of processes may run it; one at a time sums up."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._background = Background()

    async def start(self) -> None:
        self._background.every(EVERY_SECONDS, self.sum_up)

    async def stop(self) -> None:
        await self._background.end()

    async def sum_up(self) -> None:
        """Adds everything that is in no sum yet, a transaction a batch."""
        while await self._add_batch() == repository.BATCH:
            pass

    async def _add_batch(self) -> int:
        async with self._database.transaction() as connection:
            if not await repository.take_lock(connection):
                return 0
            by_day = await repository.waiting(connection)
            for day, ids in by_day.items():
                await repository.add(connection, day, ids)
        return sum(map(len, by_day.values()))
