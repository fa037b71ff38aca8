"""Measures the queue for whoever operates it: how much is pending, since when, and what was given up."""

from collections.abc import Callable
from datetime import datetime, timedelta

from libs.common.db.engine import Database
from libs.common.metrics import WEBHOOK_DELIVERIES, WEBHOOK_OLDEST, WEBHOOK_SUBSCRIPTIONS
from libs.common.tasks.background import Background
from services.webhook_dispatcher.sending import queue_repository as queue

INTERVAL = 15.0  # seconds
RECENTLY = timedelta(days=1)


class Gauges:
    """A component."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._background = Background()

    async def start(self) -> None:
        self._background.every(INTERVAL, self.measure, at_once=True)

    async def stop(self) -> None:
        await self._background.end()

    async def measure(self) -> None:
        moment = self._clock()
        async with self._database.read() as connection:
            counts = await queue.counts(connection, moment - RECENTLY)
            oldest = await queue.oldest_due(connection, moment)
        WEBHOOK_DELIVERIES.labels("pending").set(counts.pending)
        WEBHOOK_DELIVERIES.labels("dead").set(counts.dead)
        WEBHOOK_SUBSCRIPTIONS.labels("active").set(counts.active)
        WEBHOOK_SUBSCRIPTIONS.labels("unverified").set(counts.unverified)
        WEBHOOK_SUBSCRIPTIONS.labels("disabled").set(counts.disabled)
        for is_probed, endpoints in ((False, "answering"), (True, "probed")):
            age = moment - oldest.get(is_probed, moment)
            WEBHOOK_OLDEST.labels(endpoints).set(age.total_seconds())
