"""A worker that dies, a second worker, a primary that goes away: nothing is lost and nothing is done twice."""

import asyncio
import socket
from dataclasses import replace

import pytest

from libs.common.cache import RedisClient
from libs.common.db.engine import Database
from libs.common.db.event_log import FactLog
from services.sync_worker.primary import connection
from services.sync_worker.replication.cycle import Cycle, Outcome, Trigger
from services.sync_worker.replication.status import read_status
from tests.integration.sync_worker.world import DEAD, DOCUMENTS_BY_ID, INTERVALS, POSTS, World
from tests.support.waiting import eventually


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture
async def large_world(bare_world: World) -> World:
    """1200 posts: three pages."""
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await bare_world.add_posts(1200)
    return bare_world


async def test_a_killed_pass_goes_on_where_it_was_and_ends_right(large_world: World) -> None:
    pages: list[str] = []

    async def die_at_the_third(table: str) -> None:
        pages.append(table)
        if pages.count("posts") == 3 and table == "posts":
            raise Killed

    large_world.between_pages = die_at_the_third
    with pytest.raises(Killed):
        await large_world.sync()
    assert await large_world.replica("SELECT count(*) FROM posts") == [(1000,)]
    await large_world.primary.execute("DELETE FROM posts WHERE permlink IN ('post-1', 'post-999')")
    await large_world.primary.execute("UPDATE posts SET votes = 9 WHERE permlink IN ('post-1000', 'post-998')")

    assert await large_world.sync() is Outcome.DONE
    assert pages.count("posts") == 4  # two before it died, the third twice
    assert await large_world.replica(
        "SELECT watermark IS NULL OR watermark = 'null' FROM sync_state WHERE table_name = 'posts'"
    ) == [(True,)]

    await large_world.sync()
    content = 'SELECT permlink, votes FROM posts ORDER BY permlink COLLATE "C"'
    assert await large_world.replica(content) == await large_world.original(content)


async def test_epochs_of_a_mass_that_is_hidden_are_raised_while_the_rest_is_still_written(large_world: World) -> None:
    await large_world.sync()
    await large_world.primary.execute("UPDATE posts SET hidden = true")
    pages: list[int] = []

    async def first_pages_are_shut() -> bool:
        hidden = await large_world.replica("SELECT 'post:' || author || '/' || permlink FROM posts WHERE hidden")
        return all([await large_world.epoch(space) for (space,) in hidden])

    async def look(statement: str) -> None:
        if "json_agg" in statement and 'FROM "posts"' in statement:
            [[hidden]] = await large_world.replica("SELECT count(*) FROM posts WHERE hidden")
            pages.append(hidden)
            await eventually(first_pages_are_shut)

    large_world.between_statements = look
    assert await large_world.sync() is Outcome.DONE
    assert pages == [0, 500, 1000]


async def test_a_connection_lost_between_pages_fails_one_cycle_only(large_world: World) -> None:
    async def cut(_: str) -> None:
        if await large_world.replica("SELECT count(*) FROM posts") == [(500,)]:
            await large_world.primary.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'presence sync_worker' AND datname = current_database()"
            )

    large_world.between_pages = cut
    assert await large_world.sync() is Outcome.FAILED
    assert await large_world.error_of("posts") is not None
    large_world.stop_watching()

    assert await large_world.sync() is Outcome.DONE
    assert await large_world.replica("SELECT count(*) FROM posts") == [(1200,)]
    assert await large_world.error_of("posts") is None


async def test_a_watermark_of_another_version_begins_again(large_world: World) -> None:
    async with large_world.database.transaction() as connection:
        await connection.exec_driver_sql(
            """INSERT INTO sync_state (table_name, watermark) VALUES ('posts', '{"shape": 3}'),
               ('collaboration_documents', '{"started_at": "2024-01-01T00:00:00Z", "shape": "gone", "after": ["1"]}')"""
        )

    assert await large_world.sync() is Outcome.DONE
    assert await large_world.replica("SELECT count(*) FROM posts") == [(1200,)]


async def test_two_workers_at_once_do_the_work_once(large_world: World, database_url: str) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def wait_there(_: str) -> None:
        reached.set()
        await go_on.wait()

    large_world.between_pages = wait_there
    first = asyncio.create_task(large_world.cycle().run(Trigger.NOW))
    await reached.wait()
    other = Database(database_url, "sync_worker")
    second = _other(large_world, other)

    assert await second.run(Trigger.NOW) is Outcome.LEFT_TO_OTHER
    on_demand = asyncio.create_task(second.run(Trigger.DEMAND))
    go_on.set()

    assert await first is Outcome.DONE
    assert await on_demand is Outcome.DONE  # it waited, and then ran a cycle of its own
    assert await second.run(Trigger.CLOCK) is Outcome.LEFT_TO_OTHER  # it was done just now
    await other.stop()


def _other(world: World, database: Database) -> Cycle:
    cycle = world.cycle()
    return replace(cycle, log=FactLog(database))


async def test_a_primary_that_is_away_is_said_in_the_status_until_it_is_back(world: World) -> None:
    await world.sync()
    assert (await read_status(world.database, INTERVALS)).current

    away = await world.cycle(dsn=f"postgresql://nobody:secret@{DEAD}/nothing").run(Trigger.DEMAND)
    status = await read_status(world.database, INTERVALS)

    assert away is Outcome.FAILED
    assert not status.current
    assert all("cannot connect to the primary" in (table.last_error or "") for table in status.tables)
    assert not any("secret" in (table.last_error or "") for table in status.tables)
    assert all(table.rows for table in status.tables)

    await world.sync()
    assert (await read_status(world.database, INTERVALS)).current


async def test_a_primary_that_accepts_and_says_nothing_is_said_to_give_no_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        await world.cycle(dsn=f"postgresql://nobody@127.0.0.1:{port}/nothing").run(Trigger.NOW)

    assert await world.error_of("posts") == "cannot connect to the primary: no answer within 1 s"


async def test_a_primary_that_nobody_named_is_said_in_the_status(world: World) -> None:
    await world.cycle(dsn="").run(Trigger.NOW)

    assert "PRESENCE_PRIMARY_URL" in (await world.error_of("posts") or "")


async def test_a_table_we_may_not_read_fails_alone(large_world: World, empty_database_url: str) -> None:
    await large_world.primary.execute("INSERT INTO collaboration_documents VALUES (1, 'x', '', 'alice', true, false)")
    await large_world.primary.execute("CREATE VIEW broken AS SELECT 1; ALTER TABLE posts RENAME permlink TO slug")

    assert await large_world.sync() is Outcome.FAILED

    assert "no table posts with (author, permlink)" in (await large_world.error_of("posts") or "")
    assert await large_world.replica("SELECT space_id FROM collaboration_documents") == [("1",)]


async def test_our_own_database_being_away_is_an_outcome_not_an_end(world: World) -> None:
    nowhere = Database(f"postgresql://replica_user@{DEAD}/nothing", "sync_worker")

    assert await _other(world, nowhere).run(Trigger.DEMAND) is Outcome.FAILED

    published = await world.redis.redis.get("sync:status")
    assert published is not None
    assert b'"current":false' in published
    await nowhere.stop()


async def test_redis_being_away_costs_no_content(world: World) -> None:
    away = RedisClient(f"redis://{DEAD}/0")

    assert await world.cycle(redis=away).run(Trigger.NOW) is Outcome.FAILED

    assert (await read_status(world.database, INTERVALS)).current
