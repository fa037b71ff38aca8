"""Migrations that change what people have written before, on rows as the version before left them."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from libs.common.clock import now
from libs.common.ids import new_id
from tests.integration.test_schema import alembic


async def insert_message(connection: "asyncpg.Connection[Any]", reactions: str) -> str:
    message_id = new_id()
    await connection.execute("SELECT chat_partitions.make_month(now()::date)")
    await connection.execute(
        "INSERT INTO chat_messages (id, seq, space_type, space_id, subspace, author_key, display_name, message_type,"
        " content, client_message_id, created_at, updated_at, reactions)"
        " VALUES ($1, 1, 'event', 'x', 'main', 'account:alice', 'alice', 'text', 'x', 'c', now(), now(), $2)",
        message_id,
        reactions,
    )
    return message_id


async def react(connection: "asyncpg.Connection[Any]", message_id: str, person: str, emoji: str, second: int) -> None:
    await connection.execute(
        "INSERT INTO message_reactions (message_id, author_key, reaction, display_name, created_at)"
        " VALUES ($1, $2, $3, $4, timestamptz '2026-11-01' + make_interval(secs => $5))",
        message_id,
        f"account:{person}",
        emoji,
        person,
        second,
    )


async def test_hearts_of_both_spellings_are_counted_together(empty_database_url: str) -> None:
    await alembic(empty_database_url, "upgrade", "0011")
    connection = await asyncpg.connect(empty_database_url)
    try:
        message = await insert_message(connection, '{"❤": {"by": ["carol", "bob"], "count": 2}}')
        untouched = await insert_message(connection, '{"as": "it was"}')
        for second, (person, emoji) in enumerate(
            [("carol", "❤"), ("alice", "❤\ufe0f"), ("bob", "❤"), ("bob", "❤\ufe0f"), ("bob", "👍"), ("dave", "☝")]
        ):
            await react(connection, message, person, emoji, second)
        await react(connection, untouched, "alice", "👍", 1)
        await alembic(empty_database_url, "upgrade", "head")
        found = await connection.fetch(
            "SELECT author_key, reaction FROM message_reactions WHERE message_id = $1", message
        )
        assert sorted(map(tuple, found)) == [
            ("account:alice", "❤\ufe0f"),
            ("account:bob", "❤\ufe0f"),
            ("account:bob", "👍"),
            ("account:carol", "❤\ufe0f"),
            ("account:dave", "☝\ufe0f"),
        ]
        sums = "SELECT reactions -> $2 -> 'by' || (reactions -> $2 -> 'count') FROM chat_messages WHERE id = $1"
        assert await connection.fetchval(sums, message, "❤\ufe0f") == '["carol", "alice", "bob", 3]'
        assert await connection.fetchval(sums, message, "☝\ufe0f") == '["dave", 1]'
        assert await connection.fetchval(sums, message, "❤") is None
        kept = await connection.fetchval("SELECT reactions FROM chat_messages WHERE id = $1", untouched)
        assert kept == '{"as": "it was"}'
    finally:
        await connection.close()


LOGGED = """
INSERT INTO event_log (id, name, space_type, space_id, seq, actor, payload, request_id, occurred_at, published_at)
SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || substr(md5(n::text), 13))::uuid,
  'test.fell', 'event', 'party', n, 'account:alice', jsonb_build_object('n', n), 'r', moment,
  CASE WHEN n % 7 = 0 THEN NULL ELSE moment END
FROM (SELECT n, now() - (400 - n) * interval '1 day' AS moment FROM generate_series(1, 400) n) AS written
"""
ROWS = "SELECT array_agg(e::text ORDER BY e.seq) FROM event_log e"
ONE_MORE = """
INSERT INTO event_log (id, name, space_type, space_id, seq, actor, payload, request_id, occurred_at)
VALUES ($1, 'test.fell', 'event', 'party', $2, 'account:alice', '{}', 'r', now())
"""


async def test_a_log_becomes_months_and_one_table_again_with_every_row_as_it_was(empty_database_url: str) -> None:
    await alembic(empty_database_url, "upgrade", "0013")
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute(LOGGED)
        before = await connection.fetchval(ROWS)
        assert len(before) == 400
        await alembic(empty_database_url, "upgrade", "head")
        assert await connection.fetchval(ROWS) == before
        await connection.execute("SELECT log_partitions.make_months_ahead()")
        await connection.execute(ONE_MORE, new_id(), 401)
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(ONE_MORE, new_id(), 401)
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("INSERT INTO event_log SELECT * FROM event_log WHERE seq = 400")
        await connection.execute("DELETE FROM event_log WHERE seq = 401")
        await alembic(empty_database_url, "downgrade", "0013")
        assert await connection.fetchval(ROWS) == before
        await alembic(empty_database_url, "upgrade", "head")
        assert await connection.fetchval(ROWS) == before
    finally:
        await connection.close()


async def test_what_was_logged_before_there_were_months_goes_row_by_row_and_its_partition_in_the_end(
    empty_database_url: str,
) -> None:
    """200 days are older than the log's 90 and a month; every seventh event is not published."""
    await alembic(empty_database_url, "upgrade", "0013")
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute(LOGGED)
        await alembic(empty_database_url, "upgrade", "head")
        before = (now() - timedelta(days=200)).replace(hour=0)
        assert await connection.fetchval("SELECT drop_log_month($1)", before) is None, "it holds what is young"
        while await connection.fetchval("SELECT delete_events($1, 50)", before):
            pass
        left = await connection.fetch("SELECT seq, published_at FROM event_log ORDER BY seq")
        assert [row["seq"] for row in left if row["seq"] < 199] == list(range(7, 199, 7)), "nobody has heard of these"
        assert [row["seq"] for row in left if row["seq"] > 200] == list(range(201, 401))
    finally:
        await connection.close()


async def test_a_migration_of_the_log_that_broke_off_half_way_is_run_again(empty_database_url: str) -> None:
    await alembic(empty_database_url, "upgrade", "0013")
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute(LOGGED)
        bound = new_id().replace(new_id()[:4], "ffff")
        await connection.execute(f"ALTER TABLE event_log ADD CONSTRAINT ck_event_log_until CHECK (id < '{bound}')")
        await alembic(empty_database_url, "upgrade", "head")
        assert await connection.fetchval("SELECT count(*) FROM event_log") == 400
    finally:
        await connection.close()
