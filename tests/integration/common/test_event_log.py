"""The one log on a real PostgreSQL: no holes, nothing lost, nothing of what did not happen."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from libs.common.clock import now
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Event
from libs.common.db import event_log
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog, Fact, read_after, read_head, read_heads
from libs.common.db.log_retention import make_months_ahead
from libs.common.spaces import LOBBY, SpaceKey
from tests.integration.common.world import Owner, RecordingBus, caller, owner_of
from tests.support.aging import age_log, months_of
from tests.support.waiting import eventually

POST = SpaceKey("post", "bob/my-post")
SPACES = [LOBBY, POST, SpaceKey("document", "123"), SpaceKey("event", "party")]


@dataclass(frozen=True)
class Fell:
    """The payload of a test's event."""

    writer: int
    seq: int


fell = Event("test.fell", Fell)


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[Owner]:
    async with owner_of(database_url) as owner:
        yield owner


@contextlib.asynccontextmanager
async def logging_to(database_url: str, bus: RecordingBus, *, started: bool = True) -> AsyncIterator[EventLog]:
    database = Database(database_url, "chat", 20)
    log = EventLog(database, bus)
    if started:
        await log.start()
    try:
        yield log
    finally:
        await log.stop()
        await database.stop()


async def write(log: EventLog, writer: int, space: SpaceKey = POST) -> int:
    async with log.transaction() as tx:
        return (await tx.append(fell, space, caller(), lambda seq: Fell(writer, seq))).seq


class Changed(Exception):
    """A writer's change of mind."""


async def test_numbers_have_no_holes_and_are_the_order_of_commit(database_url: str, owner: Owner) -> None:
    """A reader sees 1..n and never a higher number before a lower one, whatever fifty writers do."""
    bus, looking = RecordingBus(), True
    taken: list[tuple[int, int]] = []
    heads: list[int] = []

    async def one(log: EventLog, writer: int) -> None:
        change_mind = writer % 5 == 0
        with contextlib.suppress(Changed):
            async with log.transaction() as tx:
                await tx.connection.execute(text("SELECT pg_sleep(:s)"), {"s": random.random() / 100})
                row = await tx.append(fell, POST, caller(), lambda seq: Fell(writer, seq))
                if change_mind:
                    raise Changed
            taken.append((row.seq, writer))

    async def look(log: EventLog) -> None:
        while looking:
            async with owner.database.read(snapshot=True) as connection:
                seen = [event.seq for event in await read_after(connection, POST, 0, 1000)]
                head = await read_head(connection, POST)
            assert seen == list(range(1, head + 1))
            heads.append(head)

    async with logging_to(database_url, bus) as log:
        watcher = asyncio.create_task(look(log))
        await asyncio.gather(*(one(log, writer) for writer in range(50)))
        looking = False
        await watcher
        assert sorted(seq for seq, _ in taken) == list(range(1, 41))
        await eventually(lambda: len({event.seq for event in bus.published}) >= 40)
    published = {event.seq for event in bus.published}  # at least once: while marking is slow, the sweep repeats one
    assert published == set(range(1, 41)), "and nothing of what was rolled back"
    assert {(event.seq, event.payload["writer"]) for event in bus.published} == set(taken)
    assert all(event.payload["seq"] == event.seq for event in bus.published)
    assert heads == sorted(heads)


async def test_batches_over_many_spaces_do_not_deadlock(database_url: str, owner: Owner) -> None:
    async def batch(log: EventLog, writer: int) -> None:
        facts = [Fact(fell, space, "main", lambda seq: Fell(writer, seq)) for space in SPACES * 3]
        random.shuffle(facts)
        async with log.transaction() as tx:
            rows = await tx.append_all(facts, caller())
        for space in SPACES:
            numbers = [row.seq for row in rows if (row.space_type, row.space_id) == (space.space_type, space.space_id)]
            assert numbers == list(range(numbers[0], numbers[0] + 3)), "a batch takes one range"

    async with logging_to(database_url, RecordingBus(), started=False) as log:
        await asyncio.gather(*(batch(log, writer) for writer in range(20)))
    async with owner.database.read() as connection:
        assert await read_heads(connection, SPACES) == dict.fromkeys(SPACES, 60)


async def test_an_empty_batch_changes_nothing(database_url: str, owner: Owner) -> None:
    async with logging_to(database_url, RecordingBus()) as log, log.transaction() as tx:
        assert await tx.append_all([], caller()) == []
    assert await owner.sql("SELECT * FROM space_counters") == []


async def test_a_committed_event_is_published_at_once_and_marked(database_url: str, owner: Owner) -> None:
    bus = RecordingBus()
    async with logging_to(database_url, bus) as log:
        await write(log, 1)
        await eventually(lambda: owner.sql("SELECT 1 FROM event_log WHERE published_at IS NOT NULL"))
    (event,) = bus.published
    assert (event.name, event.actor, event.request_id) == ("test.fell", "account:alice", "request-1")
    assert event.payload == {"writer": 1, "seq": 1}
    assert (event.space_type, event.space_id, event.subspace) == ("post", "bob/my-post", None)


async def test_a_rolled_back_transaction_publishes_nothing_and_takes_no_number(database_url: str) -> None:
    bus = RecordingBus()
    async with logging_to(database_url, bus) as log:
        with contextlib.suppress(Changed):
            async with log.transaction() as tx:
                assert (await tx.append(fell, POST, caller(), lambda seq: Fell(1, seq))).seq == 1
                raise Changed
        assert await write(log, 2) == 1
        await eventually(lambda: len(bus.published) >= 1)
    assert [event.payload["writer"] for event in bus.published] == [2]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep looks at once, at rows of any age."""
    monkeypatch.setattr(event_log, "SWEEP_INTERVAL", 0.02)
    monkeypatch.setattr(event_log, "SWEEP_AGE", event_log.SWEEP_AGE * 0)


@pytest.mark.usefixtures("impatient")
async def test_an_event_that_the_broker_did_not_take_is_swept_later(database_url: str, owner: Owner) -> None:
    bus = RecordingBus()
    bus.go_away()
    async with logging_to(database_url, bus) as log:
        for writer in range(3):
            await write(log, writer)
        assert bus.published == []
        assert len(await owner.sql("SELECT 1 FROM event_log WHERE published_at IS NULL")) == 3
        bus.come_back()
        await eventually(lambda: len(bus.published) >= 3)

        async def none_is_left() -> bool:
            return not await owner.sql("SELECT 1 FROM event_log WHERE published_at IS NULL")

        await eventually(none_is_left)
    assert [event.seq for event in bus.published] == [1, 2, 3]


@pytest.mark.usefixtures("impatient")
async def test_an_event_that_a_dead_process_left_is_swept_by_another(database_url: str) -> None:
    async with logging_to(database_url, RecordingBus(), started=False) as log:
        await write(log, 1)
    bus = RecordingBus()
    async with logging_to(database_url, bus):
        await eventually(lambda: len(bus.published) >= 1)


async def test_a_row_that_its_process_may_still_be_publishing_is_left_alone(database_url: str) -> None:
    bus = RecordingBus()
    async with logging_to(database_url, bus, started=False) as log:
        await write(log, 1)
        assert await log.sweep() == 0
    assert bus.published == []


@pytest.mark.usefixtures("impatient")
async def test_two_sweepers_publish_each_row_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "SWEEP_BATCH", 7)
    bus = RecordingBus()
    async with logging_to(database_url, bus, started=False) as one, logging_to(database_url, bus, started=False) as two:
        await asyncio.gather(*(write(one, writer) for writer in range(40)))

        async def sweep_until_nothing_is_left(log: EventLog) -> None:
            for _ in range(40):
                await log.sweep()

        await asyncio.gather(sweep_until_nothing_is_left(one), sweep_until_nothing_is_left(two))
    assert sorted(event.seq for event in bus.published) == list(range(1, 41))


@pytest.mark.usefixtures("impatient")
async def test_an_event_that_cannot_be_published_holds_no_other_up(database_url: str, owner: Owner) -> None:
    class Choosy(RecordingBus):
        async def publish(self, *events: LoggedEvent) -> None:
            if any(event.seq == 1 for event in events):
                raise ZeroDivisionError("this one never")
            await super().publish(*events)

    bus = Choosy()
    async with logging_to(database_url, bus, started=False) as log:
        for writer in range(3):
            await write(log, writer)
        assert await log.sweep() == 2
        assert await log.sweep() == 0
    assert [event.seq for event in bus.published] == [2, 3], "and these once"
    assert [row.seq for row in await owner.sql("SELECT seq FROM event_log WHERE published_at IS NULL")] == [1]


async def test_reading_after_a_number_pages_through_one_space_in_order(database_url: str, owner: Owner) -> None:
    async with logging_to(database_url, RecordingBus(), started=False) as log:
        for writer in range(7):
            await write(log, writer)
            await write(log, writer, LOBBY)
    pages: list[list[int]] = []
    after = 0
    async with owner.database.read() as connection:
        while page := await read_after(connection, POST, after, 3):
            pages.append([event.seq for event in page])
            assert {event.space_id for event in page} == {"bob/my-post"}
            after = page[-1].seq
        assert pages == [[1, 2, 3], [4, 5, 6], [7]]
        assert await read_head(connection, SpaceKey("event", "never")) == 0
        assert await read_heads(connection, []) == {}


async def test_every_service_that_writes_has_the_next_months_made(database_url: str, owner: Owner) -> None:
    """After a long absence there may be no month for what is written now."""
    ahead = {f"event_log_{now() + timedelta(days=days):%Y_%m}" for days in (0, 59)}
    for month in ahead:
        await owner.sql(f"DROP TABLE log_partitions.{month}")
    async with logging_to(database_url, RecordingBus()) as log:

        async def are_made() -> bool:
            return ahead <= await months_of(owner)

        await eventually(are_made)
        assert await write(log, 1) == 1


@pytest.mark.parametrize("service", ["chat", "spaces_auth", "sync_worker", "webhook_dispatcher"])
async def test_a_service_may_have_no_other_months_made_than_the_next(database_url: str, service: str) -> None:
    database = Database(database_url, service, 1)
    async with database.transaction() as connection:
        await make_months_ahead(connection)
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with database.transaction() as connection:
            await connection.execute(text("SELECT log_partitions.make_month('2031-01-01')"))
    await database.stop()


async def test_no_number_of_a_space_is_twice_in_a_month(database_url: str, owner: Owner) -> None:
    """The counter gives none out twice; that it was put back by hand is found before anything is written."""
    async with logging_to(database_url, RecordingBus(), started=False) as log:
        await write(log, 1)
        await owner.sql("UPDATE space_counters SET seq = 0")
        with pytest.raises(IntegrityError):
            await write(log, 2)


async def test_numbers_go_on_over_the_end_of_a_month(database_url: str, owner: Owner) -> None:
    async with logging_to(database_url, RecordingBus(), started=False) as log:
        for writer in range(3):
            await write(log, writer)
        await age_log(owner, 40)
        for writer in range(3, 6):
            await write(log, writer)
    assert len({row.month for row in await owner.sql("SELECT DISTINCT tableoid AS month FROM event_log")}) == 2
    async with owner.database.read() as connection:
        assert [event.seq for event in await read_after(connection, POST, 1, 4)] == [2, 3, 4, 5]
