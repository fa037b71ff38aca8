"""Ninety days: months are made ahead; an old one becomes a file, goes, and can be read back in, byte for byte."""

import asyncio
import hashlib
import threading
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard
from sqlalchemy import text

from libs.common.clock import now
from libs.common.contracts.moderation import MAX_SLOW_MODE
from libs.common.db.engine import Database
from services.chat.retention import archive
from services.chat.retention import months_repository as months
from services.chat.retention.retention import Retention, following
from tests.integration.chat.world import World

OLD = date(2026, 3, 1)
LATER = datetime(2026, 7, 1, tzinfo=UTC)  # 90 days before it is April 2nd
TRICKY = "quotes \" \\ and 'lines'\n, emoji 👩‍👩‍👧, \u2028, €, {json: true}"


@pytest.fixture
async def database(database_url: str) -> Any:
    """A connection with the rights of the chat service."""
    database = Database(database_url, "chat", 4)
    yield database
    await database.stop()


async def put_old_month(world: World, database: Database, count: int = 25) -> None:
    """Messages of March, with edits and reactions, as the service would have stored them."""
    async with database.transaction() as connection:
        await months.make(connection, OLD)
    first = await world.post(TRICKY)
    await world.edit(first, f"{TRICKY} edited")
    await world.react(first, "👍", "bob")
    move = "(chat_partitions.first_id('2026-03-02'::date)::text)"
    for table in months.TABLES:
        column = "id" if table == "chat_messages" else "message_id"
        await world.owner.sql(f"UPDATE {table} SET {column} = (left({move}, 8) || substr({column}::text, 9))::uuid")
    await world.owner.sql(
        f"""INSERT INTO chat_messages (id, seq, space_type, space_id, subspace, author_key, display_name, message_type,
              content, client_message_id, created_at, updated_at)
            SELECT (left({move}, 24) || lpad(n::text, 12, '0'))::uuid, 100 + n, 'post', 'bob/hall', 'main', 'guest:g',
              'Guest', 'text', 'number ' || n, n::text, '2026-03-01T00:00:00.123456Z', '2026-03-01T00:00:00.123456Z'
            FROM generate_series(1, {count}) n"""
    )


async def content_of_month(world: World) -> dict[str, list[Any]]:
    """Every row of the month in PostgreSQL's own text."""
    found = {}
    for table in months.TABLES:
        rows = await world.owner.sql(f"SELECT t::text FROM {months.partition(table, OLD)} t ORDER BY 1")
        found[table] = [row[0] for row in rows]
    return found


def retention(database: Database, folder: Path) -> Retention:
    return Retention(database, str(folder), lambda: LATER)


async def test_an_old_month_is_archived_dropped_and_restored_byte_for_byte(
    world: World, database: Database, tmp_path: Path
) -> None:
    await put_old_month(world, database)
    before = await content_of_month(world)
    assert {table: len(rows) for table, rows in before.items()} == {
        "chat_messages": 26, "chat_message_edits": 1, "message_reactions": 1,
    }  # fmt: skip
    page = await world.page(limit=100)

    assert await retention(database, tmp_path).look_back() == [OLD]
    assert (await world.page()).messages == []
    manifest_path = tmp_path / "chat-2026-03.json"
    manifest = archive.verify(manifest_path)
    assert manifest.rows == {"chat_messages": 26, "chat_message_edits": 1, "message_reactions": 1}
    packed = (tmp_path / manifest.file).read_bytes()
    assert hashlib.sha256(packed).hexdigest() == manifest.file_sha256
    lines = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    assert len(lines.splitlines()) == 28
    assert b'"search"' not in lines, "what PostgreSQL makes of the words is made again"

    await archive.restore(database, manifest_path)
    assert await content_of_month(world) == before
    assert await world.page(limit=100) == page
    assert len((await world.page(q="“EDITED”")).messages) == 1
    assert await retention(database, tmp_path).look_back() == [], "what was restored stays"

    (tmp_path / "chat-2026-03.keep").unlink()
    again = tmp_path / "again"
    assert await retention(database, again).look_back() == [OLD]
    assert archive.verify(again / "chat-2026-03.json") == manifest, "the same lines and the same file"


async def test_nobody_waits_while_an_archive_is_read_back(
    world: World, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_old_month(world, database)
    reader: list[threading.Thread] = []
    verify = archive.verify

    def watched(path: Path) -> archive.Manifest:
        reader.append(threading.current_thread())
        return verify(path)

    monkeypatch.setattr(archive, "verify", watched)
    await retention(database, tmp_path).look_back()
    assert reader
    assert threading.main_thread() not in reader, "the event loop runs in that one"


async def test_restoring_twice_doubles_nothing(world: World, database: Database, tmp_path: Path) -> None:
    await put_old_month(world, database)
    before = await content_of_month(world)
    await retention(database, tmp_path).look_back()
    for _ in range(2):
        await archive.restore(database, tmp_path / "chat-2026-03.json")
    assert await content_of_month(world) == before


async def test_a_damaged_archive_is_not_restored(world: World, database: Database, tmp_path: Path) -> None:
    await put_old_month(world, database)
    await retention(database, tmp_path).look_back()
    packed = tmp_path / "chat-2026-03.jsonl.zst"
    packed.write_bytes(packed.read_bytes()[:-1] + b"\x00")
    with pytest.raises(archive.Damaged):
        await archive.restore(database, tmp_path / "chat-2026-03.json")


async def test_messages_younger_than_ninety_days_stay(world: World, database: Database, tmp_path: Path) -> None:
    await put_old_month(world, database)
    early = Retention(database, str(tmp_path), lambda: datetime(2026, 6, 29, tzinfo=UTC))
    assert await early.look_back() == [], "March 31st is 90 days before June 29th"
    assert len((await content_of_month(world))["chat_messages"]) == 26


async def test_a_crash_after_detaching_is_made_good_by_the_next_round(
    world: World, database: Database, tmp_path: Path
) -> None:
    await put_old_month(world, database)
    before = await content_of_month(world)
    await months.detach(database, OLD)
    assert await retention(database, tmp_path).look_back() == [OLD]
    await archive.restore(database, tmp_path / "chat-2026-03.json")
    assert await content_of_month(world) == before


async def test_rows_of_no_use_without_old_messages_go_with_them(
    world: World, database: Database, tmp_path: Path
) -> None:
    message = await world.post("@bob")
    await world.read(message, "bob")
    await world.read(message, "bob", thread=message.id)
    cursors = {"subspace_read_cursors": "updated_at", "thread_read_cursors": "updated_at"}
    columns = {"chat_commands": "created_at", "notifications": "created_at", **cursors}

    async def kept(moment: datetime) -> list[str]:
        for table, column in columns.items():
            await world.owner.sql(f"UPDATE {table} SET {column} = :moment", moment=moment)
        await retention(database, tmp_path).look_back()
        return [table for table in columns if await world.owner.sql(f"SELECT 1 FROM {table}")]

    assert await kept(datetime(2026, 4, 2, 1, tzinfo=UTC)) == list(columns), "not yet 90 days"
    assert await kept(datetime(2026, 4, 1, 1, tzinfo=UTC)) == list(cursors), "April's messages are there"
    assert await kept(datetime(2026, 3, 31, 23, tzinfo=UTC)) == []


async def test_turns_of_slow_mode_go_with_the_addresses_in_them_once_they_hold_nobody(
    world: World, database: Database
) -> None:
    await world.settings(slow_mode_seconds=60)
    await world.post("hello", "anonymous")
    assert [row.author_key for row in await world.owner.sql("SELECT author_key FROM chat_pace ORDER BY 1")] == [
        "address:203.0.113.9", "guest:none",
    ]  # fmt: skip
    for later, left in ((MAX_SLOW_MODE - 60, 2), (MAX_SLOW_MODE + 60, 0)):
        clock = partial(now().__add__, timedelta(seconds=later))
        await Retention(database, "", clock).forget_turns()
        assert len(await world.owner.sql("SELECT 1 FROM chat_pace")) == left


async def test_retention_without_a_folder_drops_nothing(world: World, database: Database) -> None:
    await put_old_month(world, database)
    assert await Retention(database, "", lambda: LATER).look_back() == []
    assert len((await content_of_month(world))["chat_messages"]) == 26


async def test_months_are_made_ahead_once(world: World, database: Database) -> None:
    ahead = Retention(database, "", lambda: datetime(2031, 12, 31, tzinfo=UTC))
    await asyncio.gather(ahead.look_ahead(), ahead.look_ahead())
    async with database.read() as connection:
        found = await months.existing(connection)
    assert {date(2031, 12, 1), date(2032, 1, 1), date(2032, 2, 1)} <= set(found)
    assert following(date(2031, 12, 1)) == date(2032, 1, 1)


async def test_writers_go_on_while_a_month_goes(world: World, database: Database, tmp_path: Path) -> None:
    """A reader holds the table open, so detaching has to wait; nobody who writes waits with it."""
    await put_old_month(world, database, count=5000)
    async with world.owner.database.read() as connection:
        await connection.execute(text("SELECT count(*) FROM chat_messages"))
        going = asyncio.create_task(retention(database, tmp_path).look_back())
        async with asyncio.timeout(20):
            for number in range(20):
                await world.post(f"meanwhile {number}")
        assert not going.done()
    assert await going == [OLD]
    assert len((await world.page(limit=100)).messages) == 20
