"""The one log: a durable fact is a row written in the same transaction as the state it changes.

    async with log.transaction() as tx:
        await tx.append(message_posted, space, caller, lambda seq: Message(seq=seq, ...))

The row takes the space's next `seq` under the counter's row lock, so `seq` is commit order without holes. After the
commit the rows are published; the log also sweeps up the rows that a crash left unpublished.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Select, any_, bindparam, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, UUID, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.bus.base import Bus, BusUnavailable, Caller
from libs.common.clock import now
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Event
from libs.common.contracts.schema.writing import dump
from libs.common.db import log_retention
from libs.common.db.engine import Database
from libs.common.db.models.event_log import EventLogRow, SpaceCounter
from libs.common.errors import PresenceError
from libs.common.ids import new_id
from libs.common.metrics import EVENTS_PUBLISHED
from libs.common.spaces import SpaceKey
from libs.common.tasks.background import Background

_log = structlog.get_logger(__name__)
SWEEP_INTERVAL = 1.0  # seconds
SWEEP_AGE = timedelta(seconds=2)  # older unpublished rows belong to nobody: their process died
SWEEP_BATCH = 500
TOGETHER = 64  # events that travel as one message of the bus
MONTHS_INTERVAL = 600.0  # seconds between two looks whether the next months are there
MARK_INTERVAL = 0.05  # seconds between two markings of what was published; far less than `SWEEP_AGE`
_COLUMNS = (
    EventLogRow.id, EventLogRow.name, EventLogRow.space_type, EventLogRow.space_id, EventLogRow.subspace,
    EventLogRow.seq, EventLogRow.actor, EventLogRow.occurred_at, EventLogRow.payload, EventLogRow.request_id,
)  # fmt: skip

type Tell = Callable[[Sequence[LoggedEvent]], None]


@dataclass(frozen=True, slots=True)
class Fact[Payload]:
    """One fact to append. `payload` is called with the `seq` that the row takes."""

    event: Event[Payload]
    space: SpaceKey
    subspace: str | None
    payload: Callable[[int], Payload]
    actor: str | None = None  # an `Identity.key`, where it is not the caller
    caller: Caller | None = None  # where it is not the batch's
    subject: str | None = None  # the message or comment whose words the payload holds; see `redaction.py`


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
        subject: str | None = None,
    ) -> LoggedEvent:
        """Appends one fact. Do it last in a transaction, since it holds the space's counter until the commit."""
        return (await self.append_all([Fact(event, space, subspace, payload, subject=subject)], caller))[0]

    async def append_all(self, facts: Sequence[Fact[Any]], caller: Caller | None = None) -> list[LoggedEvent]:
        """Appends facts in their order, those of a space in one range; `caller` is for facts that name none.

        Spaces are locked in order, so batches cannot deadlock.
        """
        by_space: dict[SpaceKey, list[Fact[Any]]] = {}
        for fact in facts:
            by_space.setdefault(fact.space, []).append(fact)
        rows: list[LoggedEvent] = []
        values: list[dict[str, Any]] = []
        for space in sorted(by_space):
            first = await _take(self.connection, space, len(by_space[space]))
            for seq, fact in enumerate(by_space[space], first):
                rows.append(_row(fact, seq, caller))
                values.append({**_values(rows[-1]), "subject": fact.subject})
        if rows:
            await self.connection.execute(insert(EventLogRow), values)
        self.appended += rows
        return rows


def _floor() -> ColumnElement[int]:
    floor = select(SpaceCounter.seq).where(SpaceCounter.space_type == "", SpaceCounter.space_id == "")
    return func.coalesce(floor.scalar_subquery(), 0)


async def _take(connection: AsyncConnection, space: SpaceKey, count: int) -> int:
    """Takes `count` numbers of the space and returns the first; a space without a counter begins above the floor."""
    statement = (
        insert(SpaceCounter)
        .values(space_type=space.space_type, space_id=space.space_id, seq=_floor() + count)
        .on_conflict_do_update(
            index_elements=[SpaceCounter.space_type, SpaceCounter.space_id],
            set_={"seq": SpaceCounter.seq + count, "used_at": func.now()},
        )
        .returning(SpaceCounter.seq)
    )
    last: int = (await connection.execute(statement)).scalar_one()
    return last - count + 1


def _row(fact: Fact[Any], seq: int, caller: Caller | None) -> LoggedEvent:
    caller = fact.caller or caller
    if caller is None:
        raise ValueError(f"nobody is named who caused {fact.event.name}")
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


_IDS = bindparam("ids", type_=ARRAY(UUID(as_uuid=False)))
_EVENTS = select(*_COLUMNS).where(EventLogRow.id == any_(_IDS))
_SUBJECTS = _EVENTS.where(EventLogRow.subject.is_not(None))


async def read_subjects(connection: AsyncConnection, event_ids: Collection[str]) -> dict[str, LoggedEvent]:
    """The events as the log has them now, by their ids: those that hold a message's or a comment's words.

    See `redaction.py`.
    """
    return await _by_id(connection, _SUBJECTS, event_ids)


async def read_events(connection: AsyncConnection, event_ids: Collection[str]) -> dict[str, LoggedEvent]:
    """The events as the log has them now, by their ids."""
    return await _by_id(connection, _EVENTS, event_ids)


async def _by_id(connection: AsyncConnection, statement: Select[Any], ids: Collection[str]) -> dict[str, LoggedEvent]:
    found = [LoggedEvent(**row) for row in (await connection.execute(statement, {"ids": [*ids]})).mappings()]
    return {event.id: event for event in found}


async def read_head(connection: AsyncConnection, space: SpaceKey) -> int:
    """The newest `seq` of the space, or the one after which it will begin."""
    return (await read_heads(connection, [space]))[space]


async def read_heads(connection: AsyncConnection, spaces: Sequence[SpaceKey]) -> dict[SpaceKey, int]:
    """The newest `seq` of each space, or the one after which it will begin."""
    key = tuple_(SpaceCounter.space_type, SpaceCounter.space_id)
    wanted = [("", ""), *((space.space_type, space.space_id) for space in spaces)]
    statement = select(SpaceCounter.space_type, SpaceCounter.space_id, SpaceCounter.seq).where(key.in_(wanted))
    found = {(row.space_type, row.space_id): row.seq for row in await connection.execute(statement)}
    floor = found.get(("", ""), 0)
    return {space: found.get((space.space_type, space.space_id), floor) for space in spaces}


class FactLog:
    """Transactions on the log. What they append is published by the next sweep of any process that has a bus."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commits the block's changes and its facts together."""
        async with self.database.transaction() as connection:
            transaction = Transaction(connection)
            yield transaction
        self._committed(transaction.appended)

    def _committed(self, events: Sequence[LoggedEvent]) -> None:
        """Is called with what was committed."""


class EventLog(FactLog):
    """Transactions on the log, and the outbox that publishes what they appended as soon as it is committed."""

    def __init__(self, database: Database, bus: Bus, tell: Tell = lambda _: None) -> None:
        """`tell` hears what was committed, at once and in this process."""
        super().__init__(database)
        self._bus = bus
        self._tell = tell
        self._fresh: asyncio.Queue[LoggedEvent] = asyncio.Queue()
        self._confirmed: asyncio.Queue[str] = asyncio.Queue()
        self._background = Background()

    def _committed(self, events: Sequence[LoggedEvent]) -> None:
        self._tell(events)
        for event in events:
            self._fresh.put_nowait(event)

    async def start(self) -> None:
        self._background.every(MONTHS_INTERVAL, self._make_months, at_once=True)
        self._background.begin(self._publish_fresh(), self._mark_forever(), self._sweep_forever())

    async def stop(self) -> None:
        """Leaves unpublished rows in the log, where the next sweep of any process finds them."""
        await self._background.end()
        await self._mark(_gathered(self._confirmed))

    async def _make_months(self) -> None:
        async with self.database.transaction() as connection:
            await log_retention.make_months_ahead(connection)

    async def _publish_fresh(self) -> None:
        while True:
            events = [await self._fresh.get(), *_gathered(self._fresh)]
            confirmed = await self._confirm(events)
            EVENTS_PUBLISHED.labels("commit").inc(len(confirmed))
            for event_id in confirmed:
                self._confirmed.put_nowait(event_id)

    async def _mark_forever(self) -> None:
        """Marks apart from publishing, and many at once, since each marking is a commit."""
        while True:
            await self._mark([await self._confirmed.get(), *_gathered(self._confirmed)])
            await asyncio.sleep(MARK_INTERVAL)

    async def _mark(self, ids: Sequence[str]) -> None:
        """Marks rows as published. The sweep publishes once more those that cannot be marked."""
        try:
            for start in range(0, len(ids), SWEEP_BATCH):
                async with self.database.transaction() as connection:
                    await _mark_published(connection, ids[start : start + SWEEP_BATCH])
        except PresenceError as error:
            _log.warning("not marked as published", events=len(ids), error=str(error))
        except Exception:
            _log.exception("marking failed")

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
        """Publishes rows that were committed but never confirmed, and returns their number."""
        async with self.database.transaction() as connection:
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

    async def _confirm(self, events: Sequence[LoggedEvent]) -> list[str]:
        """Publishes events, those of one name together, and returns the ids of those that the broker took."""
        by_name: dict[str, list[LoggedEvent]] = {}
        for event in events:
            by_name.setdefault(event.name, []).append(event)
        batches = [named[i : i + TOGETHER] for named in by_name.values() for i in range(0, len(named), TOGETHER)]
        taken = await asyncio.gather(*map(self._confirm_batch, batches))
        return [event.id for batch in taken for event in batch]

    async def _confirm_batch(self, events: list[LoggedEvent]) -> list[LoggedEvent]:
        """Publishes events of one name and returns those that the broker took; a bad one keeps back no other."""
        try:
            await self._bus.publish(*events)
        except BusUnavailable:
            return []
        except Exception:
            if len(events) > 1:
                return [taken for event in events for taken in await self._confirm_batch([event])]
            _log.exception("event not published", event_id=events[0].id, event_name=events[0].name)
            return []
        return events


def _gathered[Item](queue: asyncio.Queue[Item]) -> list[Item]:
    """Takes out and returns everything that waits in a queue."""
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def _mark_published(connection: AsyncConnection, ids: Sequence[str]) -> None:
    if ids:
        # In one order, as whoever takes words back locks them.
        locked = select(EventLogRow.id).where(EventLogRow.id.in_(ids)).order_by(EventLogRow.id).with_for_update()
        statement = update(EventLogRow).where(EventLogRow.id.in_(locked)).values(published_at=func.now())
        await connection.execute(statement)
