"""Buries what is pending for a subscription that was switched off, and removes what is left of one that was deleted.

Both are obeyed at once by whoever claims; this puts the rows in order after it, in batches, so that no statement is
long and no lock is held for long.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from libs.common.metrics import PRUNED
from libs.common.tasks.background import Background
from services.webhook_dispatcher import repository

_log = structlog.get_logger(__name__)
BATCH, SMALLEST = 2000, 50  # deliveries of a transaction; fewer where so many take the database too long
BURY_SECONDS, REMOVE_SECONDS = 2.0, 60.0  # between two looks


class Endings:
    """A component."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._background = Background()

    async def start(self) -> None:
        self._background.every(BURY_SECONDS, self.bury)
        self._background.every(REMOVE_SECONDS, self.remove, at_once=True)

    async def stop(self) -> None:
        await self._background.end()

    async def bury(self) -> None:
        """Gives up all that is pending for subscriptions that are given up."""
        async with self._database.read() as connection:
            ended = await repository.given_up(connection)
        for subscription_id in ended:
            await _batches("what was pending is buried", subscription_id, self._bury_some)

    async def _bury_some(self, subscription_id: str, limit: int) -> bool:
        async with self._database.transaction() as connection:
            return await repository.bury_some(connection, subscription_id, self._clock(), limit)

    async def remove(self) -> None:
        """Deletes the deliveries of subscriptions that are gone."""
        async with self._database.read() as connection:
            gone = await repository.orphaned(connection)
        for subscription_id in gone:
            await _batches("what was left is removed", subscription_id, self._remove_some)

    async def _remove_some(self, subscription_id: str, limit: int) -> bool:
        async with self._database.transaction() as connection:
            removed = await repository.remove_deliveries(connection, subscription_id, limit)
        PRUNED.labels("webhook_deliveries").inc(removed)
        return removed < limit


async def _batches(done: str, subscription_id: str, step: Callable[[str, int], Awaitable[bool]]) -> None:
    """Works until a step says that it was the last; half of the time at most, for others want the disk too.

    A batch that takes too long is tried again smaller. One that cannot be done even so is left for the next look, and
    holds up no other subscription's.
    """
    limit, is_done = BATCH, False
    while not is_done:
        started = time.monotonic()
        try:
            is_done = await step(subscription_id, limit)
        except PresenceError as error:
            _log.warning("a batch is too large now", subscription_id=subscription_id, batch=limit, error=str(error))
            if limit == SMALLEST:
                return
            limit = max(limit // 4, SMALLEST)
        await asyncio.sleep(0 if is_done else time.monotonic() - started)
    _log.info(done, subscription_id=subscription_id)
