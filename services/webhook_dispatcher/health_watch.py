"""Tells owners that an endpoint is about to be disabled, and disables what has failed for too long."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from libs.common.db.engine import Database
from libs.common.tasks.background import Background
from services.webhook_dispatcher import repository as deliveries
from services.webhook_dispatcher.health import health_repository as repository
from services.webhook_dispatcher.health.health import LONGEST_FAILING, MARKS, day, ends_at
from services.webhook_dispatcher.health.notices_repository import ENDS_SOON, Notice, tell

_log = structlog.get_logger(__name__)
TOLD_BEFORE = timedelta(days=1)  # the end
AT_ONCE = 100  # subscriptions of a transaction
LOOK_SECONDS = 60.0


class HealthWatch:
    """A component: tells owners of an end that is near, and brings it about."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._background = Background()

    async def start(self) -> None:
        self._background.every(LOOK_SECONDS, self.look, at_once=True)

    async def stop(self) -> None:
        await self._background.end()

    async def look(self) -> None:
        """Ends what has failed for too long, then tells of the ends that are near."""
        while await self._end() == AT_ONCE:
            pass
        while await self._tell() == AT_ONCE:
            pass

    async def _end(self) -> int:
        reason = f"It only failed for {LONGEST_FAILING.days} days."
        async with self._database.transaction() as connection:
            ended = await repository.ended(connection, self._clock() - LONGEST_FAILING, MARKS, AT_ONCE)
            for subscription_id in ended:
                await deliveries.disable(connection, subscription_id, reason)
        for subscription_id in ended:
            _log.info("webhook disabled", subscription_id=subscription_id, reason=reason)
        return len(ended)

    async def _tell(self) -> int:
        before = self._clock() - LONGEST_FAILING + TOLD_BEFORE
        async with self._database.transaction() as connection:
            ending = await repository.ending(connection, before, MARKS, AT_ONCE)
            await tell(connection, [Notice(ENDS_SOON, row, _said(row.failing_since)) for row in ending])
        return len(ending)


def _said(since: datetime | None) -> str:
    if since is None:
        raise ValueError("it is not failing")
    return f"has only failed since {day(since)}: it is disabled on {day(ends_at(since))} unless it answers."
