"""A cycle reads what was written and deleted since the last one, misses nothing, and reads all where it cannot tell."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts import content
from services.sync_worker.primary.reading import Sums
from services.sync_worker.replication import pages, repository, table_sync
from services.sync_worker.replication.cycle import Outcome, Trigger
from services.sync_worker.tables.table import Table
from tests.integration.sync_worker.primaries import BY_NAME, fill
from tests.integration.sync_worker.world import DOCUMENTS_BY_ID, POSTS, World

IN_BLOCKS = "= ANY($1::bigint[])"
PIECE = "substring(convert_to("
VALUES = " AS value"  # in the statement that reads a large column


@contextmanager
def noted(world: World) -> Iterator[tuple[list[str], list[str]]]:
    """Yields the tables that pages are read of, and all statements at the primary, as they come."""
    walked: list[str] = []
    statements: list[str] = []

    async def note_page(table: str) -> None:
        walked.append(table)

    async def note_statement(statement: str) -> None:
        statements.append(statement)

    world.between_pages, world.between_statements = note_page, note_statement
    yield walked, statements
    world.stop_watching()


@pytest.fixture
async def posts_world(bare_world: World) -> World:
    """600 posts, two documents and who may read them, replicated."""
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await bare_world.add_posts(600)
    await bare_world.primary.execute(
        "INSERT INTO collaboration_documents (title, content, creator) "
        "VALUES ('One', 'a', 'alice'), ('Two', 'b', 'bob');"
        "INSERT INTO collaboration_permissions (document_id, user_account, permission) "
        "VALUES (1, 'bob', 'read'), (1, 'bob', 'edit'), (1, 'carol', 'read')"
    )
    assert await bare_world.sync() is Outcome.DONE
    return bare_world


@pytest.fixture
async def latin_world(bare_world: World) -> AsyncIterator[World]:
    """Posts in a primary of another encoding."""
    bytes_primary, url = bare_world.primary, bare_world.primary_url
    name = urlsplit(url).path[1:]
    await bytes_primary.execute(f"CREATE DATABASE {name}_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    bare_world.primary_url = url.replace(f"/{name}", f"/{name}_latin")
    bare_world.primary = await asyncpg.connect(bare_world.primary_url)
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    try:
        yield bare_world
    finally:
        await bare_world.primary.close()
        bare_world.primary, bare_world.primary_url = bytes_primary, url


async def test_only_what_was_written_is_read(posts_world: World) -> None:
    await posts_world.primary.execute("UPDATE posts SET votes = 5 WHERE permlink IN ('post-7', 'post-8')")

    with noted(posts_world) as (walked, _):
        await posts_world.cycle().run(Trigger.DEMAND, ["posts"])

    assert walked == []
    assert await posts_world.replica("SELECT permlink FROM posts WHERE votes = 5 ORDER BY 1") == [
        ("post-7",),
        ("post-8",),
    ]


async def test_what_a_transaction_writes_under_savepoints_while_cycles_pass_arrives_when_it_ends(
    posts_world: World,
) -> None:
    late = await asyncpg.connect(posts_world.primary_url)
    await late.execute(
        "BEGIN; UPDATE posts SET hidden = true WHERE permlink = 'post-1'; SAVEPOINT one;"
        "UPDATE posts SET hidden = true WHERE permlink = 'post-2'; RELEASE one; SAVEPOINT two;"
        "UPDATE posts SET hidden = true WHERE permlink = 'post-3'"
    )
    for _ in range(3):
        await posts_world.primary.execute("UPDATE posts SET votes = votes + 1 WHERE permlink = 'post-9'")
        await posts_world.sync()
    await late.execute("COMMIT")
    await late.close()

    await posts_world.sync()

    hidden = await posts_world.replica("SELECT permlink FROM posts WHERE hidden ORDER BY 1")
    assert hidden == [("post-1",), ("post-2",), ("post-3",)]


async def test_a_deleted_row_is_found_by_its_block_and_none_of_the_others_is_read(posts_world: World) -> None:
    await posts_world.primary.execute("DELETE FROM posts WHERE permlink = 'post-77'")

    with noted(posts_world) as (walked, statements):
        await posts_world.sync()

    assert walked == []
    assert not [one for one in statements if IN_BLOCKS in one], "the difference of the sums is the hash of its key"
    assert sum("json_agg" in statement and '"posts"' in statement for statement in statements) == 1  # it is looked up
    assert await posts_world.replica("SELECT count(*) FROM posts WHERE permlink = 'post-77'") == [(0,)]


async def test_of_a_block_that_lost_several_rows_or_gained_some_all_keys_are_compared(posts_world: World) -> None:
    """600 rows in 64 blocks, so that each of them has lost more than one."""
    await posts_world.primary.execute("DELETE FROM posts WHERE block % 3 = 0 AND permlink <> 'post-3'")
    posts_world.guard_percent = 90.0
    await posts_world.primary.execute("INSERT INTO posts VALUES ('alice', 'new', 1, 0, '360', 0)")

    with noted(posts_world) as (_, statements):
        assert await posts_world.sync() is Outcome.DONE

    assert [one for one in statements if IN_BLOCKS in one]
    keys = 'SELECT permlink FROM posts ORDER BY permlink COLLATE "C"'
    assert await posts_world.replica(keys) == await posts_world.original(keys)


async def test_the_replica_is_not_summed_up_while_no_row_comes_or_goes(
    posts_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    summed: list[str] = []

    async def counted(connection: AsyncConnection, table: Table, blocks: int) -> dict[int, Sums]:
        summed.append(table.name)
        return await sums(connection, table, blocks)

    sums = repository.sums
    monkeypatch.setattr(repository, "sums", counted)
    await posts_world.primary.execute("UPDATE posts SET votes = votes + 1")
    await posts_world.sync()
    assert "posts" not in summed

    await posts_world.primary.execute("INSERT INTO posts VALUES ('alice', 'new', 1, 0, '360', 0)")
    await posts_world.sync()
    await posts_world.primary.execute("DELETE FROM posts WHERE permlink = 'new'")
    await posts_world.sync()
    await posts_world.primary.execute("UPDATE posts SET permlink = 'renamed' WHERE permlink = 'post-5'")
    await posts_world.sync()
    assert summed.count("posts") == 3
    keys = 'SELECT permlink FROM posts ORDER BY permlink COLLATE "C"'
    assert await posts_world.replica(keys) == await posts_world.original(keys)


async def test_after_deletes_the_sums_that_are_kept_are_those_of_the_whole_table(posts_world: World) -> None:
    await posts_world.primary.execute("DELETE FROM posts WHERE permlink LIKE 'post-7%'")
    await posts_world.primary.execute("UPDATE posts SET permlink = 'new-' || permlink WHERE permlink LIKE 'post-8%'")
    async with posts_world.database.transaction() as connection:  # rows that the primary does not say were written
        await connection.execute(text("DELETE FROM posts WHERE permlink LIKE 'post-9%'"))
    await posts_world.sync()
    assert await posts_world.replica("SELECT count(*) FROM posts") == [(600 - 11,)]
    kept = await posts_world.replica("SELECT position->'residuals' FROM sync_state WHERE table_name = 'posts'")
    assert kept == [({},)], "both sides have the same rows"

    with noted(posts_world) as (_, statements):
        await posts_world.sync()
    assert not [one for one in statements if IN_BLOCKS in one], "no block is looked into again"


async def test_a_permission_given_twice_weakens_when_the_stronger_goes(posts_world: World) -> None:
    bobs = "SELECT permission FROM collaboration_permissions WHERE account = 'bob'"
    assert await posts_world.replica(bobs) == [("edit",)]
    await posts_world.primary.execute("DELETE FROM collaboration_permissions WHERE permission = 'edit'")

    await posts_world.sync()

    assert await posts_world.replica(bobs) == [("read",)]
    assert await posts_world.epoch("document:1") == 1


async def test_a_permission_that_grants_nothing_any_more_goes_and_may_come_back(bare_world: World) -> None:
    await fill(bare_world, BY_NAME)
    await bare_world.sync()
    bobs = "SELECT count(*) FROM collaboration_permissions WHERE account = 'bob'"
    for may_read, rows in ((False, 0), (True, 1)):
        await bare_world.primary.execute(
            "UPDATE collaboration_permissions SET can_read = $1 WHERE account = 'bob'", may_read
        )
        with noted(bare_world) as (walked, _):
            await bare_world.sync()
        assert walked == []
        assert await bare_world.replica(bobs) == [(rows,)]


async def test_the_text_of_a_document_is_read_only_when_it_has_changed(posts_world: World) -> None:
    with noted(posts_world) as (_, statements):
        await posts_world.sync()
        await posts_world.cycle().run(Trigger.DEMAND, prove=True)
    assert [one for one in statements if VALUES in one] == []

    await posts_world.primary.execute("UPDATE collaboration_documents SET content = 'new' WHERE title = 'Two'")
    with noted(posts_world) as (_, statements):
        await posts_world.sync()
    assert len([one for one in statements if VALUES in one]) == 1
    assert await posts_world.replica("SELECT content FROM collaboration_documents ORDER BY title") == [("a",), ("new",)]


async def test_a_long_text_arrives_whole_beside_short_ones(posts_world: World) -> None:
    await posts_world.primary.execute(
        "UPDATE collaboration_documents SET content = CASE id WHEN 1 THEN repeat('long ', 50000) ELSE 'short' END"
    )

    await posts_world.sync()

    texts = "SELECT title, md5(content) FROM collaboration_documents ORDER BY 1"
    assert await posts_world.replica(texts) == await posts_world.original(texts)


async def test_texts_of_documents_are_read_so_many_at_a_time_as_fit_into_memory(
    bare_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_BYTES", 1000)
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await bare_world.primary.execute(
        "INSERT INTO collaboration_documents (title, content, creator) "
        "SELECT n::text, repeat('x', CASE n WHEN 5 THEN 3000 ELSE 400 END), 'alice' FROM generate_series(1, 5) n"
    )

    with noted(bare_world) as (_, statements):
        await bare_world.sync()

    reads = [one for one in statements if VALUES in one]
    pieces = [one for one in reads if PIECE in one]
    assert len(reads) - len(pieces) == 2  # of two each
    assert len(pieces) == 4  # of the one that is too large by itself; the last is empty, for it may have grown
    assert await bare_world.replica("SELECT sum(length(content)) FROM collaboration_documents") == [(4600,)]


async def test_a_large_text_that_comes_in_pieces_is_what_it_is_at_the_primary(
    posts_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Characters of one to four bytes, which pieces divide."""
    monkeypatch.setattr(pages, "MOST_BYTES", 1000)
    await posts_world.primary.execute(
        "UPDATE collaboration_documents SET content = repeat('aé√𝄞', CASE id WHEN 1 THEN 1237 ELSE 1 END)"
    )

    await posts_world.sync()

    texts = "SELECT title, md5(content) FROM collaboration_documents ORDER BY 1"
    assert await posts_world.replica(texts) == await posts_world.original(texts)
    assert await posts_world.replica("SELECT count(*) FROM pg_largeobject_metadata") == [(0,)]


async def test_a_large_text_that_is_written_again_between_its_pieces_is_never_put_together_of_both(
    posts_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_BYTES", 1000)
    write = "UPDATE collaboration_documents SET content = repeat('{}', 3000), is_public = {} WHERE id = 1"
    await posts_world.primary.execute(write.format("a", "false"))
    pieces = 0

    async def second_piece_comes_late(statement: str) -> None:
        nonlocal pieces
        pieces += PIECE in statement
        if pieces == 2:
            await posts_world.primary.execute(write.format("b", "false"))
            pieces += 1

    posts_world.between_statements = second_piece_comes_late
    await posts_world.sync()
    posts_world.stop_watching()
    row = "SELECT is_public, content FROM collaboration_documents WHERE title = 'One'"
    assert await posts_world.replica(row) == [(False, None)]  # who may read it is known at once
    assert await posts_world.sync() is Outcome.DONE
    assert await posts_world.replica(row) == [(False, 3000 * "b")]


async def test_a_view_is_read_whole_at_each_cycle(posts_world: World) -> None:
    await posts_world.primary.execute(
        "ALTER TABLE posts RENAME TO all_posts; CREATE VIEW posts AS SELECT * FROM all_posts;"
    )
    await posts_world.sync()
    await posts_world.primary.execute("UPDATE all_posts SET hidden = true WHERE permlink = 'post-3'")

    with noted(posts_world) as (walked, _):
        assert await posts_world.sync() is Outcome.DONE

    assert walked == ["posts", "posts"]
    assert await posts_world.replica("SELECT permlink FROM posts WHERE hidden") == [("post-3",)]


async def test_a_column_that_is_added_again_is_read_anew(posts_world: World) -> None:
    await posts_world.primary.execute(
        "ALTER TABLE posts DROP hidden; ALTER TABLE posts ADD hidden boolean DEFAULT true"
    )

    await posts_world.sync()

    assert await posts_world.replica("SELECT count(*) FROM posts WHERE NOT hidden") == [(0,)]


@pytest.mark.parametrize("before", range(1, 7))
async def test_a_column_that_is_added_while_a_cycle_begins_is_read_with_the_next(
    bare_world: World, before: int
) -> None:
    """Before each statement of the cycle: a default writes no row, so nothing else tells of it."""
    await fill(bare_world, BY_NAME)
    await bare_world.sync()
    await bare_world.sync()
    statements = 0

    async def add(_: str) -> None:
        nonlocal statements
        statements += 1
        if statements == before:
            await bare_world.primary.execute("ALTER TABLE collaboration_documents ADD is_deleted boolean DEFAULT true")

    bare_world.between_statements = add
    await bare_world.cycle().run(Trigger.DEMAND, ["collaboration_documents"])
    bare_world.stop_watching()
    assert statements >= before

    await bare_world.sync()

    assert await bare_world.replica("SELECT count(*) FROM collaboration_documents WHERE NOT is_deleted") == [(0,)]


async def test_a_partition_in_the_place_of_another_is_read_though_nobody_wrote_it(bare_world: World) -> None:
    await bare_world.primary.execute(DOCUMENTS_BY_ID)
    await bare_world.primary.execute(POSTS.rstrip() + " PARTITION BY LIST (author)")
    await bare_world.primary.execute(
        "CREATE TABLE former PARTITION OF posts FOR VALUES IN ('alice');"
        "CREATE TABLE later (LIKE former INCLUDING ALL);"
        "INSERT INTO former (author, permlink, type) VALUES ('alice', 'x', '360');"
        "INSERT INTO later (author, permlink, type, hidden) VALUES ('alice', 'x', '360', true)"
    )
    await bare_world.sync()
    await bare_world.primary.execute(
        "ALTER TABLE posts DETACH PARTITION former; ALTER TABLE posts ATTACH PARTITION later FOR VALUES IN ('alice')"
    )

    await bare_world.sync()

    assert await bare_world.replica("SELECT hidden FROM posts") == [(True,)]


async def test_a_primary_that_was_started_again_is_read_anew(posts_world: World) -> None:
    """Commits that we have seen may be lost by a crash, or by files that were put back."""
    [[started]] = await posts_world.original("SELECT pg_postmaster_start_time()")
    async with posts_world.database.transaction() as connection:
        await connection.exec_driver_sql(
            "UPDATE sync_state SET position = jsonb_set(position, '{origin}', to_jsonb(replace("
            f"position->>'origin', '{started.strftime('%Y-%m-%d %H:%M')}', '2001-01-01 00:00')))"
        )

    with noted(posts_world) as (walked, _):
        await posts_world.sync()

    assert "posts" in walked


async def test_more_changes_than_are_read_row_by_row_are_read_by_a_walk(
    posts_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_sync, "MOST_CHANGED", 10)
    await posts_world.primary.execute("UPDATE posts SET votes = 5")

    with noted(posts_world) as (walked, _):
        await posts_world.sync()

    assert walked == ["posts", "posts"]
    assert await posts_world.replica("SELECT count(*) FROM posts WHERE votes = 5") == [(600,)]


async def test_a_primary_that_hashes_unlike_us_is_walked_through_and_loses_no_delete(latin_world: World) -> None:
    await latin_world.primary.execute(
        "INSERT INTO posts (author, permlink, type) SELECT 'alice', 'é' || n, '360' FROM generate_series(1, 30) n"
    )
    await latin_world.sync()
    await latin_world.primary.execute("DELETE FROM posts WHERE permlink = 'é1'")

    with noted(latin_world) as (walked, _):
        assert await latin_world.sync() is Outcome.DONE

    assert "posts" in walked
    assert await latin_world.replica("SELECT count(*) FROM posts") == [(29,)]


async def test_a_number_that_the_primary_cannot_hold_any_more_is_gone(bare_world: World) -> None:
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await bare_world.primary.execute(
        "ALTER TABLE collaboration_documents ALTER id TYPE bigint;"
        "INSERT INTO collaboration_documents (id, title, creator) VALUES (99999999999, '', 'alice'), (1, '', 'alice')"
    )
    await bare_world.sync()
    await bare_world.primary.execute(
        "DELETE FROM collaboration_documents WHERE id > 1; ALTER TABLE collaboration_documents ALTER id TYPE integer"
    )

    await bare_world.sync()

    assert await bare_world.replica("SELECT space_id FROM collaboration_documents") == [("1",)]


def missed(table: str) -> float | None:
    return REGISTRY.get_sample_value("presence_sync_missed_rows", {"table": table})


async def write_here(world: World, sql: str) -> None:
    async with world.database.transaction() as connection:
        await connection.exec_driver_sql(sql)


async def test_a_proof_counts_a_row_that_cycles_missed_and_mends_it(posts_world: World) -> None:
    await write_here(posts_world, "UPDATE posts SET votes = 9, row_hash = 'x' WHERE permlink = 'post-5'")
    await posts_world.sync()
    assert await posts_world.replica("SELECT votes FROM posts WHERE permlink = 'post-5'") == [(9,)]

    await posts_world.cycle().run(Trigger.DEMAND, prove=True)

    assert await posts_world.replica("SELECT votes FROM posts WHERE permlink = 'post-5'") == [(0,)]
    assert missed("posts") == 1
    await posts_world.primary.execute("ALTER TABLE posts ALTER votes TYPE bigint")
    await posts_world.sync()
    assert missed("posts") == 1  # a walk does not forget it


async def test_a_proof_counts_no_row_that_changes_while_it_is_under_way(posts_world: World) -> None:
    async def change(table: str) -> None:
        await posts_world.primary.execute(
            "DELETE FROM collaboration_permissions WHERE permission = 'edit'"
            if table == "collaboration_permissions"
            else "UPDATE posts SET votes = votes + 1 WHERE permlink IN ('post-1', 'post-599');"
            "DELETE FROM posts WHERE permlink = 'post-2'"
        )

    posts_world.between_pages = change
    await posts_world.cycle().run(Trigger.DEMAND, prove=True)
    posts_world.stop_watching()
    await posts_world.sync()

    assert {table: missed(table) for table in content.TABLES} == dict.fromkeys(content.TABLES, 0)


async def test_rows_that_could_not_be_read_are_counted_until_they_can_be(posts_world: World) -> None:
    def skipped() -> float | None:
        return REGISTRY.get_sample_value("presence_sync_skipped_rows", {"table": "collaboration_permissions"})

    await posts_world.primary.execute(
        "UPDATE collaboration_permissions SET permission = 'odd' WHERE user_account = 'carol'"
    )
    await posts_world.sync()
    await posts_world.sync()
    assert skipped() == 1

    await posts_world.primary.execute(
        "UPDATE collaboration_permissions SET permission = 'read' WHERE user_account = 'carol'"
    )
    await posts_world.cycle().run(Trigger.DEMAND, prove=True)
    assert skipped() == 0


@pytest.mark.parametrize("tables", [["posts"], content.TABLES], ids=["of the clock", "of a command"])
async def test_permissions_do_not_wait_while_posts_are_copied(bare_world: World, tables: list[str]) -> None:
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await bare_world.add_posts(1200)
    await bare_world.primary.execute(
        "INSERT INTO collaboration_documents (title, creator) VALUES ('One', 'alice');"
        "INSERT INTO collaboration_permissions (document_id, user_account) VALUES (1, 'bob'), (1, 'carol')"
    )
    access = [table for table in content.TABLES if table != "posts"]
    await bare_world.cycle().run(Trigger.DEMAND, access)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def wait_at_posts(table: str) -> None:
        if table == "posts":
            reached.set()
            await go_on.wait()

    bare_world.between_pages = wait_at_posts
    copying = asyncio.create_task(bare_world.cycle().run(Trigger.DEMAND, tables))
    await reached.wait()
    await bare_world.primary.execute("DELETE FROM collaboration_permissions WHERE user_account = 'bob'")

    assert await bare_world.cycle().run(Trigger.NOW, access) is Outcome.DONE

    assert await bare_world.replica("SELECT account FROM collaboration_permissions") == [("carol",)]
    assert await bare_world.epoch("document:1") == 1
    go_on.set()
    assert await copying is Outcome.DONE
