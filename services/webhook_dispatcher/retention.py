"""Deletes deliveries that finished long ago, and inbox marks that can no longer matter."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from libs.common.db import inbox
from libs.common.db.engine import Database
from libs.common.db.pruning import delete_all
from libs.common.tasks.background import Background
from services.webhook_dispatcher import repository
from services.webhook_dispatcher.planner import CONSUMER

KEPT = timedelta(days=30)  # after a delivery was finished
INTERVAL = 3600.0  # seconds


class Pruner:
    """A component that prunes when it starts and then every hour."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._background = Background()

    async def start(self) -> None:
        self._background.every(INTERVAL, self.prune, at_once=True)

    async def stop(self) -> None:
        await self._background.end()

    async def prune(self) -> None:
        """Deletes all whose time is over, a transaction a batch."""
        before = self._clock() - KEPT
        await delete_all(self._database, "webhook_deliveries", partial(repository.prune, before=before))
        await delete_all(self._database, "inbox", partial(inbox.prune, consumer=CONSUMER))
