"""Callers hear `unavailable` when the database cannot answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from libs.common.db import engine
from libs.common.db.engine import Database, PoolBusy
from libs.common.errors import UNAVAILABLE, PresenceError
from tests.integration.common.world import Proxy, proxied
from tests.support.waiting import eventually


@pytest.fixture
async def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr(engine, "CONNECT_TIMEOUT", 0.2)
    database = Database(database_url, "chat", 1)
    yield database
    await database.stop()


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LOOK_SECONDS", 0.05)


def through(proxy: Proxy, url: str) -> str:
    return url.replace(url.rpartition("@")[2].partition("/")[0], f"127.0.0.1:{proxy.port}")


async def one(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(text("SELECT 1"))).scalar_one())


async def test_a_pool_that_is_used_up_is_unavailable(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
        with pytest.raises(PresenceError) as raised:
            await one(database)
    assert raised.value.kind is UNAVAILABLE
    assert await one(database) == 1


async def test_a_pool_that_is_used_up_is_no_database_that_is_away(database: Database) -> None:
    await database.start()
    await eventually(lambda: database.ready)
    async with database.read():
        for _ in range(2):  # one of which begins while the database is looked at
            with pytest.raises(PoolBusy):
                await one(database)
        assert database.ready


async def test_a_costly_pool_refuses_at_once_when_enough_wait(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "COSTLY_SECONDS", 60.0)  # so that who is refused now did not wait
    costly = Database.costly(database_url, "chat", 1)
    async with costly.read():
        waiting = [asyncio.create_task(one(costly)) for _ in range(engine.COSTLY_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(PoolBusy):
            await one(costly)
    assert await asyncio.gather(*waiting) == [1] * engine.COSTLY_WAITING
    await costly.stop()


async def test_a_database_that_is_away_is_unavailable_until_it_is_back(database_url: str) -> None:
    async with proxied(database_url) as proxy:
        database = Database(through(proxy, database_url), "chat", 2)
        await database.start()
        await eventually(lambda: database.ready)
        await proxy.close()
        with pytest.raises(PresenceError) as raised:
            await one(database)
        assert raised.value.kind is UNAVAILABLE
        assert not database.ready
        await proxy.open()
        await eventually(lambda: database.ready)
        assert await one(database) == 1
        await database.stop()


async def test_a_process_may_start_before_its_database(database_url: str) -> None:
    async with proxied(database_url) as proxy:
        await proxy.close()
        database = Database(through(proxy, database_url), "chat", 2)
        await database.start()
        with pytest.raises(PresenceError):
            await one(database)
        assert not database.ready
        await proxy.open()
        await eventually(lambda: database.ready)
        await database.stop()


async def test_a_mistake_in_a_statement_is_not_the_databases_absence(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.read() as connection:
            await connection.execute(text("SELECT nonsense"))
    with pytest.raises(IntegrityError):
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO space_counters VALUES ('a', 'b', 1), ('a', 'b', 2)"))
    assert await one(database) == 1


WAYS = ("transaction", "read", "autocommit")


async def using(database: Database, way: str, between: Callable[[], Awaitable[object]]) -> None:
    """A statement, something else, and another statement."""
    async with getattr(database, way)() as connection:
        await connection.execute(text("SELECT 1"))
        await between()
        await connection.execute(text("SELECT 2"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "error", [ConnectionResetError("a peer"), TimeoutError(), FileNotFoundError("a file")], ids=repr
)
async def test_a_failure_of_something_else_is_not_the_databases_absence(
    database: Database, way: str, error: OSError
) -> None:
    async def fail() -> None:
        raise error

    assert await one(database) == 1
    with pytest.raises(OSError) as raised:
        await using(database, way, fail)
    assert raised.value is error
    assert database.ready


@pytest.mark.parametrize("way", WAYS)
async def test_a_database_that_goes_away_between_two_statements_is_unavailable(database_url: str, way: str) -> None:
    async with proxied(database_url) as proxy:
        database = Database(through(proxy, database_url), "chat", 2)
        with pytest.raises(PresenceError) as raised:
            await using(database, way, proxy.close)
        assert (raised.value.kind, database.ready) == (UNAVAILABLE, False)
        await database.stop()


async def test_an_error_of_the_drivers_socket_is_the_databases_absence(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLAlchemy leaves one as it is, and then it looks like anybody's."""

    async def reset(*_: object, **__: object) -> None:
        raise ConnectionResetError

    async def cut() -> None:
        monkeypatch.setattr("asyncpg.connection.Connection.prepare", reset)

    with pytest.raises(PresenceError) as raised:
        await using(database, "transaction", cut)
    assert (raised.value.kind, database.ready) == (UNAVAILABLE, False)
    monkeypatch.undo()
    assert await one(database) == 1


async def test_a_statement_that_takes_too_long_is_unavailable_but_the_database_is_not(database: Database) -> None:
    async def hurry() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SET LOCAL statement_timeout = 20"))
            await connection.execute(text("SELECT pg_sleep(5)"))

    assert await one(database) == 1
    with pytest.raises(PresenceError, match="too long") as raised:
        await hurry()
    assert (raised.value.kind, database.ready) == (UNAVAILABLE, True)


async def test_a_read_cannot_write_and_leaves_the_next_free_to(database: Database) -> None:
    statement = text("INSERT INTO space_counters VALUES ('global', 'lobby', 1)")
    with pytest.raises(DBAPIError, match="read-only"):
        async with database.read() as connection:
            await connection.execute(statement)
    async with database.transaction() as connection:
        await connection.execute(statement)


@pytest.fixture
async def reading(database_url: str) -> AsyncIterator[Database]:
    database = Database.reading(database_url, "chat", 1)
    yield database
    await database.stop()


async def driver_of(database: Database) -> Any:
    """The driver's connection that a pool of one gives everybody."""
    async with database.read() as connection:
        return (await connection.get_raw_connection()).driver_connection


def sent_beside_statements(driver: Any) -> list[str]:
    """What a connection sends from now on beside prepared statements: the driver's logger hears of nothing else."""
    sent: list[str] = []
    driver.add_query_logger(lambda query: sent.append(query.query))
    return sent


async def test_a_pool_for_reads_cannot_write(reading: Database) -> None:
    with pytest.raises(DBAPIError, match="read-only"):
        async with reading.transaction() as connection:
            await connection.execute(text("INSERT INTO space_counters VALUES ('global', 'lobby', 1)"))
    with pytest.raises(DBAPIError, match="read-only"):
        async with reading.read() as connection:
            await connection.execute(text("INSERT INTO space_counters VALUES ('global', 'lobby', 1)"))
    assert await one(reading) == 1


async def test_a_read_of_a_pool_for_reads_is_its_statements_and_nothing_around_them(reading: Database) -> None:
    sent = sent_beside_statements(await driver_of(reading))
    for _ in range(3):
        assert await one(reading) == 1
    assert sent == []


async def test_a_pool_for_reads_has_snapshots_and_goes_back_to_single_statements(reading: Database) -> None:
    sent = sent_beside_statements(await driver_of(reading))
    async with reading.read(snapshot=True) as connection:
        await connection.execute(text("SELECT 2"))
    assert "REPEATABLE READ" in sent[0].upper()
    sent.clear()
    assert await one(reading) == 1
    assert sent == []


@pytest.mark.parametrize("way", ["read", "transaction"])
async def test_a_connection_that_the_server_closed_costs_nobody_an_answer(
    database: Database, database_url: str, way: str
) -> None:
    driver = await driver_of(database)
    other = Database(database_url, None, 1)
    async with other.read() as connection:
        await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": driver.get_server_pid()})
    await eventually(driver.is_closed)
    async with getattr(database, way)() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    assert driver is not await driver_of(database)
    await other.stop()


async def test_a_pool_for_reads_whose_database_goes_away_is_unavailable_until_it_is_back(database_url: str) -> None:
    async with proxied(database_url) as proxy:
        database = Database.reading(through(proxy, database_url), "chat", 2)
        with pytest.raises(PresenceError) as raised:
            await using(database, "read", proxy.close)
        assert (raised.value.kind, database.ready) == (UNAVAILABLE, False)
        await proxy.open()
        assert await one(database) == 1
        await database.stop()


async def test_a_snapshot_sees_one_moment(database_url: str) -> None:
    database = Database(database_url, "chat", 2)
    count = text("SELECT count(*) FROM space_counters")
    async with database.read(snapshot=True) as connection:
        before = (await connection.execute(count)).scalar_one()
        async with database.transaction() as other:
            await other.execute(text("INSERT INTO space_counters VALUES ('global', 'lobby', 1)"))
        assert (await connection.execute(count)).scalar_one() == before
    await database.stop()
