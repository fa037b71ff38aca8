"""What strangers make ends: months of the log, who came and went, and the counters of made-up events.

No number comes twice.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from libs.common.clock import now
from libs.common.contracts import log, spaces
from libs.common.contracts.log import EventsSince, Heads
from libs.common.contracts.spaces import PresenceChange, RecordPresence
from libs.common.db import log_retention, pruning
from libs.common.db.engine import Database
from libs.common.db.log_retention import InUse
from libs.common.ids import new_id
from libs.common.metrics import LOG_UNPUBLISHED, TABLE_BYTES
from libs.common.spaces import SpaceKey
from services.spaces_auth.retention.retention import Retention
from tests.integration.spaces_auth.world import World
from tests.support.aging import age_log, month_ends, months_of
from tests.support.waiting import eventually

LOG_DAYS, STAY_LOG_DAYS = 90, 7
OLD = 200  # days: as old as the tests make an event, so that all that may happen to it lies in the past
HOUR = timedelta(hours=1)
MADE_UP = SpaceKey("event", "made-up")
ENTERABLE = [
    MADE_UP,
    SpaceKey("community", "hive-1"),
    SpaceKey("post", "alice/my-360-photo"),
    SpaceKey("global", "lobby"),
]


class Pruner:
    """The service's retention, at the moments that a test asks for."""

    def __init__(self, database_url: str) -> None:
        self.database = Database(database_url, "spaces_auth", 2)
        self._moment = now()
        self._retention = Retention(self.database, LOG_DAYS, STAY_LOG_DAYS, lambda: self._moment)

    async def prune(self, moment: datetime | None = None) -> None:
        self._moment = moment or now()
        await self._retention.prune()


@pytest.fixture
async def pruner(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pruner]:
    monkeypatch.setattr(pruning, "BATCH", 2)
    pruner = Pruner(world.settings.database_url)
    yield pruner
    await pruner.database.stop()
    for table in ("event_log", "space_activity", "chat_messages"):
        await world.owner.sql(f"DELETE FROM {table}")


async def visit(world: World, *visited: SpaceKey) -> None:
    """Comes and goes: two events in each space, which are published and recorded."""
    for space in visited:
        await record(world, space)
    await published(world)


async def record(world: World, space: SpaceKey) -> None:
    stay = new_id()
    changes = [
        PresenceChange(stay, kind, space.space_type, space.space_id, "main", "s", "r1", None, "g1", "x", now())
        for kind in ("join", "leave")
    ]
    await world.call(spaces.record_presence, RecordPresence(changes), "alice")


async def published(world: World) -> None:
    """Waits until every event is published, and recorded as activity."""
    waiting = "SELECT 1 FROM event_log e WHERE published_at IS NULL OR NOT EXISTS" \
              " (SELECT 1 FROM space_activity a WHERE a.event_id = e.id)"  # fmt: skip

    async def is_quiet() -> bool:
        return not await world.owner.sql(waiting)

    await eventually(is_quiet)


async def counters(world: World) -> set[str]:
    return {row.space_id for row in await world.owner.sql("SELECT space_id FROM space_counters WHERE space_id <> ''")}


async def say(world: World, space: SpaceKey) -> None:
    await world.owner.sql(
        "INSERT INTO chat_messages (id, seq, space_type, space_id, subspace, author_key, display_name, message_type,"
        " content, client_message_id, created_at, updated_at)"
        " VALUES (:id, 1, :type, :space, 'main', 'a', 'a', 'text', 'hello', 'c', now(), now())",
        id=new_id(), type=space.space_type, space=space.space_id,
    )  # fmt: skip


async def logged(world: World) -> list[str]:
    return [row.name for row in await world.owner.sql("SELECT name FROM event_log ORDER BY space_id, seq")]


async def occurred(world: World) -> datetime:
    (row,) = await world.owner.sql("SELECT max(occurred_at) AS moment FROM event_log")
    return row.moment  # type: ignore[no-any-return]


async def test_who_came_and_went_is_in_the_log_for_days_and_all_else_for_longer(world: World, pruner: Pruner) -> None:
    await visit(world, MADE_UP, MADE_UP)
    await world.owner.sql(
        "UPDATE event_log SET name = 'chat.message_posted' WHERE seq = (SELECT min(seq) + 1 FROM event_log)"
    )
    await age_log(world.owner, OLD)
    then = await occurred(world)
    await pruner.prune(then + timedelta(days=STAY_LOG_DAYS) - HOUR)
    assert len(await logged(world)) == 4
    await pruner.prune(then + timedelta(days=STAY_LOG_DAYS) + HOUR)
    assert await logged(world) == ["chat.message_posted"]


async def test_a_month_of_the_log_goes_once_all_of_it_is_older_than_the_logs_days(world: World, pruner: Pruner) -> None:
    await visit(world, MADE_UP)
    await world.owner.sql("UPDATE event_log SET name = 'chat.message_posted'")
    await age_log(world.owner, OLD)
    then = await occurred(world)
    over, month = month_ends(then) + timedelta(days=LOG_DAYS), f"event_log_{then:%Y_%m}"
    await pruner.prune(over - HOUR)
    assert (len(await logged(world)), month in await months_of(world.owner)) == (2, True)
    await pruner.prune(over + HOUR)
    assert (len(await logged(world)), month in await months_of(world.owner)) == (0, False)


async def test_an_event_that_is_not_published_keeps_its_month_and_what_is_published_goes(
    world: World, pruner: Pruner
) -> None:
    await visit(world, MADE_UP)
    world.bus.go_away()
    await record(world, MADE_UP)
    await world.owner.sql("UPDATE event_log SET name = 'chat.message_posted'")
    await age_log(world.owner, OLD)
    then = await occurred(world)
    over = month_ends(then) + timedelta(days=LOG_DAYS) + HOUR
    await pruner.prune(over)
    assert len(await logged(world)) == 2, "the two that nobody has heard of"
    assert f"event_log_{then:%Y_%m}" in await months_of(world.owner)
    assert LOG_UNPUBLISHED._value.get() == 2
    world.bus.come_back()
    await published(world)
    await pruner.prune(over)
    assert await logged(world) == []
    assert f"event_log_{then:%Y_%m}" not in await months_of(world.owner)
    assert LOG_UNPUBLISHED._value.get() == 0


async def test_a_month_that_somebody_reads_goes_later_and_writers_wait_no_longer_than_a_second(
    world: World, pruner: Pruner
) -> None:
    await visit(world, MADE_UP)
    await age_log(world.owner, OLD)
    over = month_ends(await occurred(world)) + timedelta(days=LOG_DAYS) + HOUR
    async with world.owner.database.read() as reader:
        await reader.execute(text("SELECT count(*) FROM event_log"))
        with pytest.raises(InUse):
            await log_retention.drop_month(pruner.database, over - timedelta(days=LOG_DAYS))
        await pruner.prune(over)  # and goes on with all else
    assert await logged(world) == []
    await pruner.prune(over)
    assert not {name for name in await months_of(world.owner) if name < f"event_log_{over:%Y_%m}"}


async def test_how_large_a_table_is_is_told_with_its_partitions(world: World, pruner: Pruner) -> None:
    await visit(world, MADE_UP)
    await pruner.prune()
    for table in ("event_log", "space_activity"):
        assert TABLE_BYTES.labels(table)._value.get() > 0


async def test_the_service_prunes_when_it_starts(world: World) -> None:
    old = "INSERT INTO space_removals VALUES ('global', 'lobby', 1, 'guest', 'g', NULL, 1, 'kicked', 'why'," \
        " now() - interval '2 days')"  # fmt: skip
    await world.owner.sql(old)
    database = Database(world.settings.database_url, "spaces_auth", 1)
    service = Retention(database, LOG_DAYS, STAY_LOG_DAYS, now)
    await service.start()

    async def is_pruned() -> bool:
        return not await world.owner.sql("SELECT 1 FROM space_removals")

    await eventually(is_pruned)
    await service.stop()
    await database.stop()


async def test_nothing_younger_than_a_day_can_be_deleted_whatever_the_service_asks(world: World) -> None:
    await visit(world, MADE_UP)
    await world.owner.sql("INSERT INTO space_counters VALUES ('', '', 1000, now() - interval '1 hour')")
    database = Database(world.settings.database_url, "spaces_auth", 1)
    before = await months_of(world.owner)
    async with database.transaction() as connection:
        for function in ("delete_events", "delete_stay_events", "delete_unused_counters"):
            asked = text(f"SELECT {function}(now() + interval '1 year', 100)")
            assert (await connection.execute(asked)).scalar_one() == 0
        while (await connection.execute(text("SELECT drop_log_month(now() + interval '1 year')"))).scalar_one():
            pass
    gone = before - await months_of(world.owner)
    assert all(name < f"event_log_{now() - timedelta(days=1):%Y_%m}" for name in gone), gone
    await database.stop()
    await world.owner.sql("DELETE FROM event_log")
    await world.owner.sql("DELETE FROM space_activity")


async def prune_twice(world: World, pruner: Pruner, moment: datetime) -> None:
    """In the first round the floor is raised; in a later one, counters go."""
    await pruner.prune(moment)
    await world.owner.sql("UPDATE space_counters SET used_at = used_at - interval '1 minute' WHERE space_id = ''")
    await pruner.prune(moment)


async def all_is_over(world: World) -> datetime:
    """Returns a moment at which nothing that was logged so far is kept any more."""
    return month_ends(await occurred(world)) + timedelta(days=LOG_DAYS) + HOUR


async def test_the_counter_of_what_exists_by_definition_goes_and_no_number_comes_again(
    world: World, pruner: Pruner
) -> None:
    await visit(world, *ENTERABLE, MADE_UP, MADE_UP)
    (last,) = (await world.call(log.heads, Heads([str(MADE_UP)]))).heads.values()
    await age_log(world.owner, OLD)
    await prune_twice(world, pruner, await all_is_over(world))
    assert await counters(world) == {"alice/my-360-photo", "lobby"}
    heads: Any = (await world.call(log.heads, Heads([str(MADE_UP)]))).heads
    assert heads[str(MADE_UP)] >= last, "who enters is told a number that nothing before was above"
    await visit(world, MADE_UP)
    since = EventsSince(MADE_UP.space_type, MADE_UP.space_id, last, 10)
    assert [event.seq for event in (await world.call(log.events_since, since)).events] == [last + 1, last + 2]


async def test_a_counter_stays_while_anything_is_left_of_its_space(world: World, pruner: Pruner) -> None:
    await visit(world, MADE_UP)
    await age_log(world.owner, OLD)
    over = await all_is_over(world)
    await prune_twice(world, pruner, await occurred(world) + timedelta(days=LOG_DAYS) - HOUR)
    assert await counters(world) == {"made-up"}, "somebody was there in the time that the log keeps"
    await say(world, MADE_UP)
    await prune_twice(world, pruner, over)
    assert await counters(world) == {"made-up"}, "a message is left"
    await world.owner.sql("DELETE FROM chat_messages")
    await prune_twice(world, pruner, over)
    assert await counters(world) == set()


async def test_a_counter_stays_until_the_floor_has_held_for_longer_than_a_statement_runs(
    world: World, pruner: Pruner
) -> None:
    await visit(world, MADE_UP)
    await age_log(world.owner, OLD)
    over = await all_is_over(world)
    for _ in range(2):
        await pruner.prune(over)
        assert await counters(world) == {"made-up"}
    await prune_twice(world, pruner, over)
    assert await counters(world) == set()
