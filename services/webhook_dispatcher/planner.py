"""Plans one delivery for each subscription that wants an event of the log, exactly once."""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


PACE_SECONDS = 0.05  # between two transactions: what comes together is planned together
MOST_EVENTS = 500  # of a transaction


@dataclass(frozen=True, slots=True)
class Batch:
    events: Sequence[LoggedEvent]
    planned: asyncio.Future[None]

    def end(self, error: Exception | None) -> None:
        if self.planned.done():  # nobody waits any more
            return
        if error:
            self.planned.set_exception(error)
        else:
            self.planned.set_result(None)


class Planner:
    """Consumes every event of the bus. It calls `wake` when there is something to send."""

    def __init__(
        self, database: Database, registry: Registry, wake: Callable[[], None], clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._registry = registry
        self._wake = wake
        self._clock = clock
        self._batches: deque[Batch] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def plan(self, events: Sequence[LoggedEvent]) -> None:
        """Plans the deliveries of a batch. Ignores events that this version does not know or binds to no webhook.

        The inbox marks commit with the deliveries. Events that nobody wants leave no mark.
        Batches that come at the same time share a transaction, and so a connection.
        """
        bound = [event for event in events if webhooks_of(self._registry, event.name)]
        if not bound:
            return
        batch = Batch(bound, asyncio.get_running_loop().create_future())
        self._batches.append(batch)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        await batch.planned

    async def _work(self) -> None:
        while self._batches:
            started = time.monotonic()
            batches = [self._batches.popleft()]
            while self._batches and sum(len(batch.events) for batch in batches) < MOST_EVENTS:
                batches.append(self._batches.popleft())
            await self._plan_together(batches)
            if self._batches:
                await asyncio.sleep(started + PACE_SECONDS - time.monotonic())

    async def _plan_together(self, batches: Sequence[Batch]) -> None:
        """Ends the batches, each with its own failure: one that cannot be planned takes no other with it."""
        try:
            await self._plan([event for batch in batches for event in batch.events])
        except Exception as error:
            if len(batches) == 1:
                batches[0].end(error)
            else:
                for batch in batches:
                    await self._plan_together([batch])
        else:
            for batch in batches:
                batch.end(None)

    async def _plan(self, events: Sequence[LoggedEvent]) -> None:
        async with self._database.transaction() as connection:
            rows = await self._rows(connection, events)
            if rows:
                await repository.insert_deliveries(connection, rows)
        if rows:
            self._wake()

    async def _rows(self, connection: AsyncConnection, events: Sequence[LoggedEvent]) -> list[dict[str, Any]]:
        bindings = {event.id: webhooks_of(self._registry, event.name) for event in events}
        names = {name for bound in bindings.values() for name in bound}
        wanting = await repository.wanting(connection, {_space_of(event) for event in events}, names)
        wanted = [
            (event, subscription_id, binding)
            for event in events
            for subscription_id, of_subscription in wanting.get(_space_of(event), ())
            for name, binding in bindings[event.id].items()
            if name in of_subscription
        ]
        first = await inbox.first_time(connection, CONSUMER, [event.id for event, _, _ in wanted]) if wanted else set()
        moment = self._clock()
        return [delivery_row(*delivery, moment) for delivery in wanted if delivery[0].id in first]


def _space_of(event: LoggedEvent) -> SpaceKey:
    return SpaceKey(event.space_type, event.space_id)


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
