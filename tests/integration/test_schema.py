"""The migrations on a real PostgreSQL: up, down, up, equal to the models, and one writer for each table."""

import asyncio
import os
import subprocess
import sys

import asyncpg
import pytest

from deploy.local.guardian import REPOSITORY
from libs.common.db.models import metadata

SEEDS_TABLES = {
    "posts", "collaboration_documents", "collaboration_permissions", "presence_sessions", "presence_space_settings",
    "chat_messages", "document_comments", "chat_subscriptions", "message_reactions", "webhook_subscriptions",
    "space_activity",
}  # fmt: skip
SEEDS_QUERIES = (
    """SELECT space_type, space_id, COUNT(*) as users FROM presence_sessions
       WHERE last_activity > NOW() - INTERVAL '5 minutes' GROUP BY space_type, space_id""",
    """SELECT space_type, space_id, COUNT(*) as messages FROM chat_messages
       WHERE created_at > NOW() - INTERVAL '1 hour' GROUP BY space_type, space_id""",
)
BEFORE_SEARCH = (
    """INSERT INTO posts (author, permlink, type, row_hash, title) VALUES
       ('a', 'one', '360', 'x', 'Café noir'), ('b', 'two', '360', 'x', 'Привет!'),
       ('c', 'three', '360', 'x', '京都の庭')""",
    """INSERT INTO collaboration_documents (space_id, creator, title, row_hash) VALUES
       ('1', 'a', 'Café noir', 'x'), ('2', 'b', 'Привет!', 'x'), ('3', 'c', '京都の庭', 'x')""",
    """INSERT INTO chat_messages (id, seq, space_type, space_id, subspace, author_key, display_name, message_type,
         content, client_message_id, created_at, updated_at)
       SELECT (left(chat_partitions.first_id(now()::date)::text, 13) || substr(gen_random_uuid()::text, 14))::uuid, n,
          'global', 'lobby', 'main', 'guest:g', 'g', 'text', said, n::text, now(), now()
       FROM unnest(ARRAY['«Café» noir', 'Привет!', '京都の庭']) WITH ORDINALITY AS given(said, n)""",
)
SHARED = {"event_log", "space_counters", "inbox"}


async def alembic(url: str, *command: str) -> str:
    environment = {**os.environ, "PRESENCE_DATABASE_URL": url}
    arguments = [sys.executable, "-m", "alembic", "-c", "alembic/alembic.ini", *command]
    done = await asyncio.to_thread(
        subprocess.run, arguments, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


async def tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row["tablename"] for row in rows} - {"alembic_version"}
    finally:
        await connection.close()


async def test_migrations_go_up_and_down_and_equal_the_models(empty_database_url: str) -> None:
    await alembic(empty_database_url, "upgrade", "head")
    assert await tables(empty_database_url) == set(metadata.tables)
    assert set(metadata.tables) >= SEEDS_TABLES
    assert "No new upgrade operations detected" in await alembic(empty_database_url, "check")
    await alembic(empty_database_url, "downgrade", "base")
    assert await tables(empty_database_url) == set()
    await alembic(empty_database_url, "upgrade", "head")


async def test_what_was_written_before_search_knew_every_script_is_found_after_the_migration_and_its_undoing(
    empty_database_url: str,
) -> None:
    await alembic(empty_database_url, "upgrade", "0010")
    connection = await asyncpg.connect(empty_database_url)
    try:
        for statement in BEFORE_SEARCH:
            await connection.execute(statement)
        await alembic(empty_database_url, "upgrade", "head")
        for table in ("chat_messages", "posts", "collaboration_documents"):
            found = f"SELECT count(*) FROM {table} WHERE search @@ search_phrase($1)"
            assert [await connection.fetchval(found, asked) for asked in ("CAFÉ", "привет", "京都")] == [1, 1, 1], table
        await alembic(empty_database_url, "downgrade", "0010")
        assert await connection.fetchval("SELECT count(*) FROM posts WHERE search @@ to_tsquery('simple', 'noir')") == 1
        assert await connection.fetchval("SELECT count(*) FROM chat_messages") == 3
    finally:
        await connection.close()


@pytest.mark.parametrize("query", SEEDS_QUERIES)
async def test_the_seeds_monitoring_queries_run_verbatim(database_url: str, query: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetch(query) == []
    finally:
        await connection.close()


async def test_each_table_has_one_writer(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            """SELECT table_name, array_agg(DISTINCT grantee::text) AS writers
               FROM information_schema.table_privileges
               WHERE table_schema = 'public' AND grantee LIKE 'presence\\_%'
                 AND privilege_type IN ('INSERT', 'UPDATE', 'DELETE')
               GROUP BY table_name"""
        )
    finally:
        await connection.close()
    writers = {row["table_name"]: set(row["writers"]) for row in rows}
    assert set(writers) == set(metadata.tables), "every table has a writer"
    for table, roles in writers.items():
        assert len(roles) == (4 if table in SHARED else 1), (table, roles)


async def test_a_service_cannot_write_anothers_table_or_read_its_secrets(database_url: str) -> None:
    connection = await asyncpg.connect(database_url, server_settings={"role": "presence_chat"})
    try:
        for statement in (
            "INSERT INTO posts (author, permlink, type, row_hash) VALUES ('a', 'b', '360', 'x')",
            "DELETE FROM event_log",
            "UPDATE event_log SET seq = 1",
            "SELECT * FROM signing_keys",
            "SELECT secret_sealed FROM webhook_subscriptions",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        for function in ("delete_events", "delete_stay_events", "delete_unused_counters"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT {function}(now(), 1)")
        assert await connection.fetchval("SELECT count(*) FROM posts") == 0
    finally:
        await connection.close()
