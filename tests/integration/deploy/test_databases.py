"""A database that is used again is as good as new for the next test, or it is another one."""

import asyncpg
import pytest

from tests.support.databases import LARGEST, UsedAgain
from tests.support.servers import Servers


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def rows(url: str, table: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return sorted(str(row) for row in await connection.fetch(f"SELECT * FROM {table}"))
    finally:
        await connection.close()


@pytest.fixture
def migrated(servers: Servers) -> UsedAgain:
    return UsedAgain(servers.new_database, servers.as_superuser, servers.drop)


COMMUNITY = "INSERT INTO communities (name, title, about) VALUES ('hive-2', 'Two', '')"


async def test_rows_of_a_test_are_gone_for_the_next_and_the_first_ones_are_there(migrated: UsedAgain) -> None:
    first = await migrated.take()
    before = await rows(first, "communities"), await rows(first, "scheduled_events")
    await execute(first, COMMUNITY, "INSERT INTO community_team VALUES ('hive-2', 'alice', 'owner')")
    left_open = await asyncpg.connect(first)
    await migrated.give_back(first)
    assert left_open.is_closed()
    again = await migrated.take()
    assert again == first
    assert (await rows(again, "communities"), await rows(again, "scheduled_events")) == before
    assert await rows(again, "community_team") == []
    await migrated.give_back(again)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE communities ADD more text",
        "ALTER TABLE communities RENAME about TO said",
        "CREATE INDEX ON communities (about)",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "GRANT DELETE ON communities TO presence_chat",
        "CREATE SCHEMA other",
        "UPDATE communities SET title = 'Another'",
        "DELETE FROM communities",
        f"INSERT INTO communities SELECT 'hive-' || n, repeat('x', 99), '' FROM generate_series(2, {LARGEST // 100}) n",
    ],
)
async def test_a_database_that_cannot_be_made_as_it_was_is_not_used_again(migrated: UsedAgain, statement: str) -> None:
    first = await migrated.take()
    await execute(first, statement)
    await migrated.give_back(first)
    another = await migrated.take()
    assert another != first
    await migrated.give_back(another)


async def test_a_database_that_was_empty_is_emptied_whatever_a_test_made_in_it(servers: Servers) -> None:
    first = await servers.empty.take()
    await execute(first, "CREATE TABLE posts (id serial PRIMARY KEY)", "CREATE TYPE kind AS ENUM ('a')")
    await servers.empty.give_back(first)
    again = await servers.empty.take()
    assert await rows(again, "pg_class WHERE oid >= 16384") == []
    await execute(again, "CREATE TABLE posts (id int)", "CREATE TYPE kind AS ENUM ('b')")
    await servers.empty.give_back(again)
