"""The one log: a durable fact is a row written in the same transaction as the state it changes.

    async with log.transaction() as tx:
        await tx.append(message_posted, space, identity, request_id, lambda seq: Message(seq=seq, ...))

The row takes the space's next `seq` under the counter's row lock, so `seq` is commit order without
holes. After the commit the rows are published; `Outbox` also sweeps up what a crash left behind.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.background import Background
from libs.common.bus.base import Bus, BusUnavailable, Caller
from libs.common.clock import now
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Event
from libs.common.contracts.schema import dump
from libs.common.db.engine import Database
from libs.common.db.models.event_log import EventLogRow, SpaceCounter
from libs.common.errors import PresenceError
from libs.common.ids import new_id
from libs.common.metrics import EVENTS_PUBLISHED
from libs.common.spaces import SpaceKey

_log = structlog.get_logger(__name__)
SWEEP_INTERVAL = 1.0  # seconds
SWEEP_AGE = timedelta(seconds=2)  # older unpublished rows belong to nobody: their process died
SWEEP_BATCH = 500
PUBLISHING_AT_ONCE = 64
_COLUMNS = (
    EventLogRow.id, EventLogRow.name, EventLogRow.space_type, EventLogRow.space_id, EventLogRow.subspace,
    EventLogRow.seq, EventLogRow.actor, EventLogRow.occurred_at, EventLogRow.payload, EventLogRow.request_id,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact[Payload]:
    """What `append` is told. `payload` is called with the `seq` that the row takes."""

    event: Event[Payload]
    space: SpaceKey
    subspace: str | None
    payload: Callable[[int], Payload]
    actor: str | None = None  # an `Identity.key`, where it is not the caller


class Transaction:
    """A database transaction that can append to the log. `connection` is for the state's own changes."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.appended: list[LoggedEvent] = []

    async def append[Payload](
        self,
        event: Event[Payload],
        space: SpaceKey,
        caller: Caller,
        payload: Callable[[int], Payload],
        *,
        subspace: str | None = None,
    ) -> LoggedEvent:
        """Append one fact; do it last, since it holds the space's counter until the commit."""
        return (await self.append_all([Fact(event, space, subspace, payload)], caller))[0]

    async def append_all(self, facts: Sequence[Fact[Any]], caller: Caller) -> list[LoggedEvent]:
        """Append many, each space's taking one range. Spaces are locked in order, so batches cannot deadlock."""
        by_space: dict[SpaceKey, list[Fact[Any]]] = {}
        for fact in facts:
            by_space.setdefault(fact.space, []).append(fact)
        rows: list[LoggedEvent] = []
        for space in sorted(by_space):
            first = await _take(self.connection, space, len(by_space[space]))
            rows += [_row(fact, first + i, caller) for i, fact in enumerate(by_space[space])]
        if rows:
            await self.connection.execute(insert(EventLogRow), [_values(row) for row in rows])
        self.appended += rows
        return rows


async def _take(connection: AsyncConnection, space: SpaceKey, count: int) -> int:
    """The first of `count` numbers of the space, now taken."""
    statement = (
        insert(SpaceCounter)
        .values(space_type=space.space_type, space_id=space.space_id, seq=count)
        .on_conflict_do_update(
            index_elements=[SpaceCounter.space_type, SpaceCounter.space_id], set_={"seq": SpaceCounter.seq + count}
        )
        .returning(SpaceCounter.seq)
    )
    last: int = (await connection.execute(statement)).scalar_one()
    return last - count + 1


def _row(fact: Fact[Any], seq: int, caller: Caller) -> LoggedEvent:
    return LoggedEvent(
        id=new_id(),
        name=fact.event.name,
        space_type=fact.space.space_type,
        space_id=fact.space.space_id,
        subspace=fact.subspace,
        seq=seq,
        actor=fact.actor or caller.identity.key,
        occurred_at=now(),
        payload=dump(fact.payload(seq)),
        request_id=caller.request_id,
    )


def _values(row: LoggedEvent) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in _COLUMNS}


async def read_after(connection: AsyncConnection, space: SpaceKey, after_seq: int, limit: int) -> list[LoggedEvent]:
    """The space's events with a greater `seq`, in order."""
    statement = (
        select(*_COLUMNS)
        .where(
            EventLogRow.space_type == space.space_type,
            EventLogRow.space_id == space.space_id,
            EventLogRow.seq > after_seq,
        )
        .order_by(EventLogRow.seq)
        .limit(limit)
    )
    return [LoggedEvent(**row) for row in (await connection.execute(statement)).mappings()]


async def read_head(connection: AsyncConnection, space: SpaceKey) -> int:
    """The newest `seq` of the space; 0 when nothing ever happened there."""
    return (await read_heads(connection, [space])).get(space, 0)


async def read_heads(connection: AsyncConnection, spaces: Sequence[SpaceKey]) -> dict[SpaceKey, int]:
    """The newest `seq` of each space that has one."""
    key = tuple_(SpaceCounter.space_type, SpaceCounter.space_id)
    statement = select(SpaceCounter.space_type, SpaceCounter.space_id, SpaceCounter.seq).where(
        key.in_([(space.space_type, space.space_id) for space in spaces])
    )
    return {SpaceKey(row.space_type, row.space_id): row.seq for row in await connection.execute(statement)}


class EventLog:
    """Transactions on the log, and the outbox that publishes what they appended."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database, self._bus = database, bus
        self._fresh: asyncio.Queue[LoggedEvent] = asyncio.Queue()
        self._background = Background()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commit the block's changes and its facts together, then publish the facts."""
        async with self._database.transaction() as connection:
            transaction = Transaction(connection)
            yield transaction
        for event in transaction.appended:
            self._fresh.put_nowait(event)

    async def start(self) -> None:
        self._background.begin(self._publish_fresh(), self._sweep_forever())

    async def stop(self) -> None:
        """What is not yet published stays in the log, and the next sweep of any process finds it."""
        await self._background.end()

    async def _publish_fresh(self) -> None:
        while True:
            batch = [await self._fresh.get()]
            while not self._fresh.empty() and len(batch) < PUBLISHING_AT_ONCE:
                batch.append(self._fresh.get_nowait())
            try:
                await self._publish(batch, "commit")
            except PresenceError as error:
                _log.warning("publishing waits for the sweep", events=len(batch), error=str(error))
            except Exception:
                _log.exception("publishing failed; the sweep will find the rows")

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            try:
                while await self.sweep() == SWEEP_BATCH:
                    pass
            except PresenceError as error:
                _log.debug("sweep waits", error=str(error))
            except Exception:
                _log.exception("sweep failed")

    async def sweep(self) -> int:
        """Publish rows that were committed but never confirmed; how many there were."""
        async with self._database.transaction() as connection:
            statement = (
                select(*_COLUMNS)
                .where(EventLogRow.published_at.is_(None), EventLogRow.occurred_at < now() - SWEEP_AGE)
                .order_by(EventLogRow.id)
                .limit(SWEEP_BATCH)
                .with_for_update(skip_locked=True)
            )
            events = [LoggedEvent(**row) for row in (await connection.execute(statement)).mappings()]
            confirmed = await self._confirm(events)
            await _mark_published(connection, confirmed)
        EVENTS_PUBLISHED.labels("sweep").inc(len(confirmed))
        return len(confirmed)

    async def _publish(self, events: list[LoggedEvent], path: str) -> None:
        confirmed = await self._confirm(events)
        if confirmed:
            async with self._database.transaction() as connection:
                await _mark_published(connection, confirmed)
            EVENTS_PUBLISHED.labels(path).inc(len(confirmed))

    async def _confirm(self, events: Sequence[LoggedEvent]) -> list[str]:
        """Publish side by side; the ids of those the broker took. One that fails keeps no other from being marked."""
        outcomes = await asyncio.gather(*(self._bus.publish(event) for event in events), return_exceptions=True)
        for event, outcome in zip(events, outcomes, strict=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, BusUnavailable):
                _log.error("event not published", event_id=event.id, event_name=event.name, exc_info=outcome)
        return [event.id for event, outcome in zip(events, outcomes, strict=True) if outcome is None]


async def _mark_published(connection: AsyncConnection, ids: Sequence[str]) -> None:
    if ids:
        statement = update(EventLogRow).where(EventLogRow.id.in_(ids)).values(published_at=func.now())
        await connection.execute(statement)
