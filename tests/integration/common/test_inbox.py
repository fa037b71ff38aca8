"""A consumer does its work once, however often the event comes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.common.db.engine import Database
from libs.common.db.inbox import first_time, prune
from libs.common.ids import new_id
from tests.integration.common.world import Owner, owner_of


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "chat", 10)
    yield database
    await database.stop()


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[Owner]:
    async with owner_of(database_url) as owner:
        yield owner


async def handle(database: Database, consumer: str, event_id: str, *, fail: bool = False) -> bool:
    async with database.transaction() as connection:
        first = await first_time(connection, consumer, [event_id])
        if fail:
            raise ZeroDivisionError
        return first == {event_id}


async def test_an_event_is_new_once_for_each_consumer(database: Database) -> None:
    event = new_id()
    assert [await handle(database, "chat", event) for _ in range(3)] == [True, False, False]
    assert await handle(database, "activity", event)
    assert await handle(database, "chat", new_id())


async def test_of_a_batch_those_are_new_that_were_not_handled(database: Database) -> None:
    old, fresh = new_id(), [new_id() for _ in range(3)]
    await handle(database, "chat", old)
    async with database.transaction() as connection:
        assert await first_time(connection, "chat", [old, *fresh, fresh[0]]) == set(fresh)
        assert await first_time(connection, "chat", fresh) == set()


async def test_of_ten_at_once_one_is_the_first(database: Database) -> None:
    event = new_id()
    assert sum(await asyncio.gather(*(handle(database, "chat", event) for _ in range(10)))) == 1


async def test_a_handler_that_failed_has_not_handled_it(database: Database) -> None:
    event = new_id()
    with pytest.raises(ZeroDivisionError):
        await handle(database, "chat", event, fail=True)
    assert await handle(database, "chat", event)


async def test_only_what_cannot_come_again_is_forgotten(database: Database, owner: Owner) -> None:
    old, fresh, others = new_id(), new_id(), new_id()
    for consumer, event in (("chat", old), ("chat", fresh), ("activity", others)):
        await handle(database, consumer, event)
    await owner.sql(
        "UPDATE inbox SET handled_at = now() - interval '8 days' WHERE event_id IN (:a, :b)", a=old, b=others
    )
    async with database.transaction() as connection:
        assert await prune(connection, "chat", 10) == 1
    left = {row.event_id for row in await owner.sql("SELECT event_id::text FROM inbox")}
    assert left == {fresh, others}
