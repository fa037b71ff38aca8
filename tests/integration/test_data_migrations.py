"""Migrations that change what people have written before, on rows as the version before left them."""

from typing import Any

import asyncpg

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
