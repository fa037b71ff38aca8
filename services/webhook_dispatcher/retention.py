"""Deletes deliveries that finished long ago, and inbox marks that can no longer matter.

python -m services.webhook_dispatcher.retention      now, in the service's environment
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from libs.common.clock import now
from libs.common.db import inbox
from libs.common.db.engine import Database
from libs.common.db.pruning import delete_all, prune_by_hand
from libs.common.settings import read
from libs.common.tasks.background import Background
from services.webhook_dispatcher import repository
from services.webhook_dispatcher.health import notices_repository
from services.webhook_dispatcher.planner import CONSUMER
from services.webhook_dispatcher.settings import Settings

KEPT = timedelta(days=30)  # after a delivery was finished
NOTICES_KEPT = timedelta(days=7)  # chat has long made notifications of them
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
        notices = self._clock() - NOTICES_KEPT
        await delete_all(self._database, "webhook_notices", partial(notices_repository.prune, before=notices))
        await delete_all(self._database, "inbox", partial(inbox.prune, consumer=CONSUMER))


if __name__ == "__main__":
    prune_by_hand("webhook_dispatcher", read(Settings).database_url, lambda database: Pruner(database, now).prune())
