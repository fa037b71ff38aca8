"""Plans one delivery for each subscription that wants an event of the log, exactly once."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Registry, Webhook
from libs.common.contracts.webhooks.bodies import body_of, webhooks_of
from libs.common.db import inbox
from libs.common.db.engine import Database
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher import repository

CONSUMER = "webhook_dispatcher"


class Planner:
    """Consumes every event of the bus. It calls `wake` when there is something to send."""

    def __init__(
        self, database: Database, registry: Registry, wake: Callable[[], None], clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._registry = registry
        self._wake = wake
        self._clock = clock

    async def plan(self, events: Sequence[LoggedEvent]) -> None:
        """Plans the deliveries of a batch. Ignores events that this version does not know or binds to no webhook.

        The inbox marks commit with the deliveries. Events that nobody wants leave no mark and cost one query a space.
        """
        bound = [event for event in events if webhooks_of(self._registry, event.name)]
        if not bound:
            return
        async with self._database.transaction() as connection:
            rows = [row for space, batch in _by_space(bound) for row in await self._rows(connection, space, batch)]
            if rows:
                await repository.insert_deliveries(connection, rows)
        if rows:
            self._wake()

    async def _rows(
        self, connection: AsyncConnection, space: SpaceKey, events: Sequence[LoggedEvent]
    ) -> list[dict[str, Any]]:
        bindings = {event.id: webhooks_of(self._registry, event.name) for event in events}
        names = sorted({name for bound in bindings.values() for name in bound})
        wanting = await repository.wanting(connection, space, names)
        first = await inbox.first_time(connection, CONSUMER, list(bindings)) if wanting else set()
        return [
            delivery_row(event, subscription_id, binding, self._clock())
            for event in events
            if event.id in first
            for subscription_id, wanted in wanting
            for name, binding in bindings[event.id].items()
            if name in wanted
        ]


def _by_space(events: Sequence[LoggedEvent]) -> list[tuple[SpaceKey, list[LoggedEvent]]]:
    """Groups events by space, spaces sorted: two processes that lock in one order cannot wait for each other."""
    groups: dict[SpaceKey, list[LoggedEvent]] = {}
    for event in events:
        groups.setdefault(SpaceKey(event.space_type, event.space_id), []).append(event)
    return sorted(groups.items())


def webhook_id_of(event_id: str, subscription_id: str, name: str) -> str:
    """Returns the `webhook-id`: equal for all attempts of a delivery, different for any other delivery."""
    receiver = hashlib.sha256(f"{subscription_id}:{name}".encode()).hexdigest()[:16]
    return f"msg_{event_id.replace('-', '')}_{receiver}"


def delivery_row(event: LoggedEvent, subscription_id: str, binding: Webhook, moment: datetime) -> dict[str, Any]:
    webhook_id = webhook_id_of(event.id, subscription_id, binding.event)
    return {
        "id": new_id(),
        "subscription_id": subscription_id,
        "event_id": event.id,
        "webhook_id": webhook_id,
        "event": binding.event,
        "sequence": event.seq,
        "body": body_of(event, webhook_id, binding),
        "actor": event.actor,
        "next_attempt_at": moment,
    }
