"""Deletes deliveries that finished long ago, and inbox marks that can no longer matter."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from libs.common.db import inbox
from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from libs.common.tasks.background import Background
from services.webhook_dispatcher import repository
from services.webhook_dispatcher.planner import CONSUMER

_log = structlog.get_logger(__name__)
KEPT = timedelta(days=30)  # after a delivery was finished
INTERVAL = 3600.0  # seconds


class Pruner:
    """A component that prunes when it starts and then every hour."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._background = Background()

    async def start(self) -> None:
        self._background.begin(self._run())

    async def stop(self) -> None:
        await self._background.end()

    async def _run(self) -> None:
        while True:
            try:
                await self.prune()
            except PresenceError as error:
                _log.warning("pruning waits", error=str(error))
            except Exception:
                _log.exception("pruning failed")
            await asyncio.sleep(INTERVAL)

    async def prune(self) -> None:
        """Deletes in batches, each a transaction of its own, so that no lock is held for long."""
        before = self._clock() - KEPT
        more = True
        while more:
            async with self._database.transaction() as connection:
                more = await repository.prune(connection, before) == repository.PRUNE_BATCH
        async with self._database.transaction() as connection:
            await inbox.prune(connection, CONSUMER)
