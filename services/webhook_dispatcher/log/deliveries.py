"""Shows what was sent to a subscription, and what came back."""

from collections.abc import Callable
from datetime import datetime, timedelta

from libs.common.bus.base import Caller
from libs.common.contracts.registry import Registry
from libs.common.contracts.webhooks import (
    Deliveries,
    Delivery,
    DeliveryCounts,
    DeliveryDetail,
    GetDelivery,
    ListDeliveries,
    SubscriptionId,
)
from libs.common.db import cursor
from libs.common.db.engine import Database
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher.log import log_repository as repository
from services.webhook_dispatcher.log.log_repository import Filter
from services.webhook_dispatcher.log.words import body_now
from services.webhook_dispatcher.subscriptions.ownership import Ownership, Rights, owner_of

COUNTED = timedelta(hours=24)


class DeliveryHandlers:
    """For a subscription's owner, and operators."""

    def __init__(
        self,
        reads: Database,
        registry: Registry,
        ownership: Ownership,
        rights: Rights,
        clock: Callable[[], datetime],
    ) -> None:
        self._reads = reads
        self._registry = registry
        self._ownership = ownership
        self._rights = rights
        self._clock = clock

    async def list_deliveries(self, caller: Caller, request: ListDeliveries) -> Deliveries:
        """Returns a page, newest first. Raises `not_found`, `invalid_input` for a cursor that is not ours."""
        before = cursor.decode_id(request.cursor) if request.cursor else None
        asked = Filter(request.status, request.event, request.since, request.until)
        if request.event is not None:
            self._rights.known([request.event])
        async with self._reads.read() as connection:
            stored = await self._ownership.own(connection, caller.identity, request.id)
            page, more = await repository.page(connection, stored.id, asked, before, request.limit)
        return Deliveries(page, cursor.encode(page[-1].id) if more else None)

    async def get_delivery(self, caller: Caller, request: GetDelivery) -> DeliveryDetail:
        """Returns one delivery with its attempts, and the body to whom it might be sent now. Raises `not_found`."""
        async with self._reads.read() as connection:
            stored = await self._ownership.own(connection, caller.identity, request.id)
            row = await repository.detail(connection, stored.id, request.delivery)
            if row is None:
                raise PresenceError(NOT_FOUND)
            reported = Delivery(**{column.key: row[column.key] for column in repository.REPORTED})
            body: bytes | None = row["body"]
            try:
                space = SpaceKey(stored.space_type, stored.space_id)
                await self._rights.require(connection, owner_of(stored), space, [reported.event])
            except PresenceError:
                body = None
            else:
                body = await body_now(
                    connection, self._registry, row["event_id"], reported.webhook_id, reported.event
                ) or bytes(row["body"])
            attempts = await repository.attempts(connection, reported.id)
        return DeliveryDetail(reported, None if body is None else body.decode(), attempts)

    async def count(self, caller: Caller, request: SubscriptionId) -> DeliveryCounts:
        """Returns what became of the deliveries of the last 24 hours. Raises `not_found`."""
        since = self._clock() - COUNTED
        async with self._reads.read() as connection:
            stored = await self._ownership.own(connection, caller.identity, request.id)
            found = await repository.counts(connection, stored.id, since)
        return DeliveryCounts(since, found.get("pending", 0), found.get("delivered", 0), found.get("dead", 0))
