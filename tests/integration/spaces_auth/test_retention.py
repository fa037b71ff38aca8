"""What strangers make ends: who came and went, and the counters of made-up events. No number comes twice."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from libs.common.clock import now
from libs.common.contracts import log, spaces
from libs.common.contracts.log import EventsSince, Heads
from libs.common.contracts.spaces import PresenceChange, RecordPresence
from libs.common.db.engine import Database
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.spaces_auth.retention import retention
from services.spaces_auth.retention.retention import Retention
from tests.integration.spaces_auth.world import World
from tests.support.waiting import eventually

LOG_DAYS, STAY_LOG_DAYS = 90, 7
MADE_UP = SpaceKey("event", "made-up")
ENTERABLE = [
    MADE_UP,
    SpaceKey("community", "hive-1"),
    SpaceKey("post", "alice/my-360-photo"),
    SpaceKey("global", "lobby"),
]


@pytest.fixture
async def pruned(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Retention]:
    monkeypatch.setattr(retention, "BATCH", 2)
    database = Database(world.settings.database_url, "spaces_auth", 2)
    yield Retention(database, LOG_DAYS, STAY_LOG_DAYS)
    await database.stop()
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


async def age(world: World, days: float) -> None:
    ago = f"interval '{days} days'"
    await world.owner.sql(f"UPDATE event_log SET occurred_at = occurred_at - {ago}")
    await world.owner.sql(f"UPDATE space_counters SET used_at = used_at - {ago}")


async def counters(world: World) -> set[str]:
    return {row.space_id for row in await world.owner.sql("SELECT space_id FROM space_counters WHERE space_id <> ''")}


async def say(world: World, space: SpaceKey) -> None:
    await world.owner.sql(
        "INSERT INTO chat_messages (id, seq, space_type, space_id, subspace, author_key, display_name, message_type,"
        " content, client_message_id, created_at, updated_at)"
        " VALUES (:id, 1, :type, :space, 'main', 'a', 'a', 'text', 'hello', 'c', now(), now())",
        id=new_id(), type=space.space_type, space=space.space_id,
    )  # fmt: skip


async def test_who_came_and_went_is_in_the_log_for_days_and_all_else_for_longer(
    world: World, pruned: Retention
) -> None:
    async def logged() -> list[str]:
        return [row.name for row in await world.owner.sql("SELECT name FROM event_log ORDER BY seq")]

    await visit(world, MADE_UP, MADE_UP)
    await world.owner.sql("UPDATE event_log SET name = 'chat.message_posted' WHERE seq = 2")
    await age(world, STAY_LOG_DAYS - 1)
    await pruned.prune()
    assert len(await logged()) == 4
    await age(world, 2)
    await pruned.prune()
    assert await logged() == ["chat.message_posted"]
    await age(world, LOG_DAYS - STAY_LOG_DAYS - 2)
    await pruned.prune()
    assert await logged() == ["chat.message_posted"]
    await age(world, 2)
    await pruned.prune()
    assert await logged() == []


async def test_what_is_not_published_yet_is_not_deleted(world: World, pruned: Retention) -> None:
    world.bus.go_away()
    await record(world, MADE_UP)
    await age(world, LOG_DAYS + 1)
    await pruned.prune()
    assert len(await world.owner.sql("SELECT 1 FROM event_log")) == 2
    world.bus.come_back()
    await published(world)
    await pruned.prune()
    assert not await world.owner.sql("SELECT 1 FROM event_log")


async def test_nothing_younger_than_a_day_can_be_deleted_whatever_the_service_asks(world: World) -> None:
    await visit(world, MADE_UP)
    await world.owner.sql("INSERT INTO space_counters VALUES ('', '', 1000, now() - interval '1 hour')")
    database = Database(world.settings.database_url, "spaces_auth", 1)
    async with database.transaction() as connection:
        for function in ("delete_events", "delete_stay_events", "delete_unused_counters"):
            asked = text(f"SELECT {function}(now() + interval '1 year', 100)")
            assert (await connection.execute(asked)).scalar_one() == 0
    await database.stop()
    await world.owner.sql("DELETE FROM event_log")
    await world.owner.sql("DELETE FROM space_activity")


async def prune_twice(world: World, pruned: Retention) -> None:
    """In the first round the floor is raised; in a later one, counters go."""
    await pruned.prune()
    await world.owner.sql("UPDATE space_counters SET used_at = used_at - interval '1 minute' WHERE space_id = ''")
    await pruned.prune()


async def test_the_counter_of_what_exists_by_definition_goes_and_no_number_comes_again(
    world: World, pruned: Retention
) -> None:
    await visit(world, *ENTERABLE, MADE_UP, MADE_UP)
    (last,) = (await world.call(log.heads, Heads([str(MADE_UP)]))).heads.values()
    await age(world, LOG_DAYS + 1)
    await prune_twice(world, pruned)
    assert await counters(world) == {"alice/my-360-photo", "lobby"}
    heads: Any = (await world.call(log.heads, Heads([str(MADE_UP)]))).heads
    assert heads[str(MADE_UP)] >= last, "who enters is told a number that nothing before was above"
    await visit(world, MADE_UP)
    since = EventsSince(MADE_UP.space_type, MADE_UP.space_id, last, 10)
    assert [event.seq for event in (await world.call(log.events_since, since)).events] == [last + 1, last + 2]


async def test_a_counter_stays_while_anything_is_left_of_its_space(world: World, pruned: Retention) -> None:
    await visit(world, MADE_UP)
    await age(world, LOG_DAYS - 1)
    await prune_twice(world, pruned)
    assert await counters(world) == {"made-up"}, "somebody was there in the time that the log keeps"
    await age(world, 2)
    await say(world, MADE_UP)
    await prune_twice(world, pruned)
    assert await counters(world) == {"made-up"}, "a message is left"
    await world.owner.sql("DELETE FROM chat_messages")
    await prune_twice(world, pruned)
    assert await counters(world) == set()


async def test_a_counter_stays_until_the_floor_has_held_for_longer_than_a_statement_runs(
    world: World, pruned: Retention
) -> None:
    await visit(world, MADE_UP)
    await age(world, LOG_DAYS + 1)
    for _ in range(2):
        await pruned.prune()
        assert await counters(world) == {"made-up"}
    await prune_twice(world, pruned)
    assert await counters(world) == set()
