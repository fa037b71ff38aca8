"""Answers who asks for deliveries again: one, or all of a time."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.bus.base import Caller
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Registry, Webhook
from libs.common.contracts.webhooks import (
    MOST_REDELIVERED,
    Delivery,
    DeliveryId,
    Redelivered,
    RedeliverRange,
    Subscription,
)
from libs.common.contracts.webhooks.bodies import webhooks_of
from libs.common.db.engine import Database
from libs.common.errors import INVALID_INPUT, NOT_FOUND, PresenceError
from services.webhook_dispatcher.log import log_repository
from services.webhook_dispatcher.planner import delivery_row
from services.webhook_dispatcher.redelivery import redelivery_repository as repository
from services.webhook_dispatcher.redelivery.redelivery_repository import Range
from services.webhook_dispatcher.subscriptions.ownership import Ownership

MISSED = "It happened while the webhook was not active."
AT_ONCE = 500  # deliveries of what was missed that are written by one statement


class RedeliveryHandlers:
    """`wake` is called when there is something to send."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        ownership: Ownership,
        wake: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._registry = registry
        self._ownership = ownership
        self._wake = wake
        self._clock = clock

    async def redeliver(self, caller: Caller, request: DeliveryId) -> Delivery:
        """Has one delivery sent again, whatever became of it and of its subscription. Raises `not_found`."""
        async with self._database.transaction() as connection:
            subscription_id = await log_repository.subscription_of(connection, request.id)
            if subscription_id is None:
                raise PresenceError(NOT_FOUND)
            await self._ownership.own(connection, caller.identity, subscription_id)
            await repository.ask(connection, request.id, self._clock())
            delivery = await log_repository.delivery(connection, request.id)
        self._wake()
        return delivery

    async def redeliver_range(self, caller: Caller, request: RedeliverRange) -> Redelivered:
        """Has the oldest of a time sent again, or counts them. Raises `not_found`, `invalid_input`."""
        if request.until <= request.since:
            text = "Must be after since."
            raise PresenceError(INVALID_INPUT, f"until: {text}", {"fields": {"until": [text]}})
        async with self._database.transaction() as connection:
            stored = await self._ownership.own(connection, caller.identity, request.id)
            found = await self._count(connection, stored, request)
            count = min(found, MOST_REDELIVERED)
            if not request.dry_run:
                count = await self._ask(connection, stored, request)
        if not request.dry_run:
            self._wake()
        return Redelivered(count, max(found - count, 0), request.dry_run)

    async def _count(self, connection: AsyncConnection, stored: Subscription, request: RedeliverRange) -> int:
        if request.status == "missed":
            names = self._names(stored)
            return await repository.count_missed(connection, stored, names, request.since, request.until)
        return await repository.count(connection, _range(request))

    async def _ask(self, connection: AsyncConnection, stored: Subscription, request: RedeliverRange) -> int:
        if request.status != "missed":
            return await repository.ask_range(connection, _range(request), self._clock(), MOST_REDELIVERED)
        names = self._names(stored)
        since, until = request.since, request.until
        events = await repository.missed(connection, stored, names, since, until, MOST_REDELIVERED)
        return sum(
            [
                await self._plan(connection, stored, events[first : first + AT_ONCE])
                for first in range(0, len(events), AT_ONCE)
            ]
        )

    async def _plan(self, connection: AsyncConnection, stored: Subscription, events: Sequence[LoggedEvent]) -> int:
        """Makes deliveries of what was missed: dead, and to be redelivered."""
        moment = self._clock()
        asked = {
            "status": "dead",
            "next_attempt_at": None,
            "finished_at": moment,
            "last_error": MISSED,
            "redeliver_at": moment,
        }
        rows = [
            {**delivery_row(event, stored.id, binding, moment), **asked}
            for event in events
            for name, binding in webhooks_of(self._registry, event.name).items()
            if name in stored.events
        ]
        return await repository.insert_missed(connection, rows)

    def _names(self, stored: Subscription) -> set[str]:
        """Returns the events of the log that a subscription wants."""
        return {event.name for event, binding in self._registry.bound(Webhook) if binding.event in stored.events}


def _range(request: RedeliverRange) -> Range:
    return Range(request.id, request.status, request.since, request.until)
