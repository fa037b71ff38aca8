"""From an event of the log to one delivery for each subscription that wants it, exactly once."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import rfc3339
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Registry, Webhook
from libs.common.db import inbox
from libs.common.db.engine import Database
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher import repository

CONSUMER = "webhook_dispatcher"


class Planner:
    """The consumer of every bus event. `wake` is called when there is something to send."""

    def __init__(
        self, database: Database, registry: Registry, wake: Callable[[], None], clock: Callable[[], datetime]
    ) -> None:
        self._database, self._registry, self._wake, self._clock = database, registry, wake, clock

    async def plan(self, events: Sequence[LoggedEvent]) -> None:
        """Plan what events bring about. One that this version does not know, or binds to no webhook, brings nothing.

        The inbox marks commit with the deliveries. Events that nobody wants leave no mark: a space's cost one query.
        """
        bound = [event for event in events if webhooks_of(self._registry, event.name)]
        if not bound:
            return
        async with self._database.transaction() as connection:
            rows = [row for space, told in _by_space(bound) for row in await self._rows(connection, space, told)]
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
            _row(event, subscription_id, binding, self._clock())
            for event in events
            if event.id in first
            for subscription_id, wanted in wanting
            for name, binding in bindings[event.id].items()
            if name in wanted
        ]


def _by_space(events: Sequence[LoggedEvent]) -> list[tuple[SpaceKey, list[LoggedEvent]]]:
    """In one order, so that two processes cannot wait for each other."""
    found: dict[SpaceKey, list[LoggedEvent]] = {}
    for event in events:
        found.setdefault(SpaceKey(event.space_type, event.space_id), []).append(event)
    return sorted(found.items())


def webhooks_of(registry: Registry, event_name: str) -> dict[str, Webhook]:
    """The webhook bindings of an event by the name that subscribers know."""
    declared = registry.event(event_name)
    return {b.event: b for b in declared.bindings if isinstance(b, Webhook)} if declared else {}


def data_of(event: LoggedEvent, binding: Webhook) -> dict[str, Any]:
    """The payload under the names that subscribers know (the seed's `message` for our `content`)."""
    renamed = {binding.rename.get(name, name): value for name, value in event.payload.items()}
    return renamed if event.subspace is None else {"subspace": event.subspace, **renamed}


def webhook_id_of(event_id: str, subscription_id: str, name: str) -> str:
    """The same for every attempt; another for another subscription, event or name."""
    receiver = hashlib.sha256(f"{subscription_id}:{name}".encode()).hexdigest()[:16]
    return f"msg_{event_id.replace('-', '')}_{receiver}"


def _row(event: LoggedEvent, subscription_id: str, binding: Webhook, moment: datetime) -> dict[str, Any]:
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


def body_of(event: LoggedEvent, webhook_id: str, binding: Webhook) -> bytes:
    """Frozen when planned: every attempt sends these bytes, until the words in them are taken back.

    `event` is the seed's name for Standard Webhooks' `type`.
    """
    return msgspec.json.encode(
        {
            "id": webhook_id,
            "type": binding.event,
            "event": binding.event,
            "space_type": event.space_type,
            "space_id": event.space_id,
            "timestamp": rfc3339(event.occurred_at),
            "sequence": event.seq,
            "data": data_of(event, binding),
        }
    )
