"""Rows that vanish in suspicious number are closed and kept until that is confirmed; access that is taken away goes."""

import pytest

from libs.common.errors import CONFLICT, PresenceError
from services.sync_worker.replication import guard
from services.sync_worker.replication.cycle import Outcome
from services.sync_worker.replication.status import read_status
from tests.integration.sync_worker.primaries import BY_ID, BY_NAME, fill
from tests.integration.sync_worker.world import DOCUMENTS_BY_ID, INTERVALS, POSTS, World

OPEN_POSTS = "SELECT count(*) FROM posts WHERE NOT hidden AND NOT flagged"


async def closed_rows(world: World, table: str) -> int:
    status = await read_status(world.database, INTERVALS)
    return next(one.closed_rows for one in status.tables if one.table == table)


async def test_a_mass_delete_closes_its_rows_and_one_line_says_what_to_do(world: World) -> None:
    await world.sync()
    kept = "SELECT author, permlink, votes, title FROM posts WHERE author <> 'alice' ORDER BY 1, 2"
    before = await world.replica(kept)
    await world.primary.execute("DELETE FROM posts WHERE author <> 'alice'")
    await world.primary.execute("UPDATE posts SET votes = 777 WHERE permlink = 'my-360-photo'")

    assert await world.sync() is Outcome.FAILED
    assert await world.sync() is Outcome.FAILED  # and it does not forget

    assert await world.replica(kept) == before
    assert await world.replica("SELECT count(*) FROM posts WHERE NOT hidden AND author <> 'alice'") == [(0,)]
    assert await world.replica("SELECT votes, hidden FROM posts WHERE permlink = 'my-360-photo'") == [(777, False)]
    assert await world.epoch("post:bob/sculpture-hall") == 1
    assert await closed_rows(world, "posts") == len(before)
    command = f"python -m services.sync_worker confirm posts --deletes {len(before)}"
    assert command in (await world.error_of("posts") or "")


async def test_an_emptied_primary_loses_nothing_and_its_return_opens_everything(world: World) -> None:
    await world.sync()
    before = await world.replica("SELECT author, permlink, hidden, votes FROM posts ORDER BY 1, 2")
    await world.primary.execute("CREATE TABLE kept AS SELECT * FROM posts; DELETE FROM posts")
    assert await world.sync() is Outcome.FAILED
    assert await world.replica("SELECT count(*) FROM posts") == [(213,)]
    assert await world.replica(OPEN_POSTS) == [(0,)]

    await world.primary.execute("INSERT INTO posts SELECT * FROM kept")

    assert await world.sync() is Outcome.DONE
    assert await world.replica("SELECT author, permlink, hidden, votes FROM posts ORDER BY 1, 2") == before
    assert await closed_rows(world, "posts") == 0


async def test_documents_that_vanish_are_closed_as_if_they_were_deleted(bare_world: World) -> None:
    await fill(bare_world, BY_NAME)
    await bare_world.sync()
    await bare_world.primary.execute("DELETE FROM collaboration_documents")

    assert await bare_world.sync() is Outcome.FAILED

    assert await bare_world.replica("SELECT count(*), bool_and(is_deleted) FROM collaboration_documents") == [(3, True)]
    assert await bare_world.epoch("document:alice/open") == 1


@pytest.mark.parametrize("count", [1, 3, 8])
async def test_also_a_small_table_is_guarded_against_being_emptied(bare_world: World, count: int) -> None:
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await bare_world.add_posts(count)
    await bare_world.sync()
    await bare_world.primary.execute("DELETE FROM posts")

    assert await bare_world.sync() is Outcome.FAILED

    assert await bare_world.replica("SELECT count(*), bool_and(hidden) FROM posts") == [(count, True)]


async def test_also_a_small_table_is_guarded_against_another_in_its_place(bare_world: World) -> None:
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await bare_world.add_posts(3)
    await bare_world.sync()
    await bare_world.primary.execute("DELETE FROM posts")
    await bare_world.add_posts(5, author="other")

    assert await bare_world.sync() is Outcome.FAILED

    assert await bare_world.replica("SELECT DISTINCT author FROM posts WHERE NOT hidden") == [("other",)]
    assert await bare_world.replica("SELECT count(*) FROM posts") == [(8,)]


async def test_a_few_rows_may_go_from_a_table_that_keeps_others(bare_world: World) -> None:
    await bare_world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await bare_world.add_posts(11)
    await bare_world.sync()
    await bare_world.primary.execute("DELETE FROM posts WHERE permlink <> 'post-1'")

    assert await bare_world.sync() is Outcome.DONE

    assert await bare_world.replica("SELECT permlink FROM posts") == [("post-1",)]


@pytest.mark.parametrize("count", [12, 60, 100])
async def test_permissions_that_are_taken_away_are_gone_within_the_cycle_however_many(
    bare_world: World, count: int
) -> None:
    await fill(bare_world, BY_ID)
    await bare_world.primary.execute(
        "DELETE FROM collaboration_permissions; DELETE FROM presence_permissions;"
        "INSERT INTO collaboration_permissions (document_id, user_account, permission) "
        "SELECT 2, 'reader' || n, 'read' FROM generate_series(1, 100) n;"
        "INSERT INTO presence_permissions (space_type, space_id, user_account, permission) "
        "SELECT 'post', 'alice/hidden', 'reader' || n, 'access' FROM generate_series(1, 100) n"
    )
    await bare_world.sync()
    gone = f"(SELECT 'reader' || n FROM generate_series(1, {count}) n)"
    await bare_world.primary.execute(
        f"DELETE FROM collaboration_permissions WHERE user_account IN {gone};"
        f"DELETE FROM presence_permissions WHERE user_account IN {gone}"
    )

    assert await bare_world.sync() is Outcome.DONE

    for table in ("collaboration_permissions", "presence_permissions"):
        assert await bare_world.replica(f"SELECT count(*) FROM {table}") == [(100 - count,)]
    assert await bare_world.epoch("document:2") == 1
    assert await bare_world.epoch("post:alice/hidden") == 1


async def test_readers_whose_permission_becomes_none_are_gone_within_the_cycle(bare_world: World) -> None:
    await fill(bare_world, BY_NAME)
    await bare_world.primary.execute(
        "INSERT INTO collaboration_permissions (owner, permlink, account) "
        "SELECT 'alice', 'private', 'reader' || n FROM generate_series(1, 100) n"
    )
    await bare_world.sync()
    await bare_world.primary.execute("UPDATE collaboration_permissions SET can_read = false")

    assert await bare_world.sync() is Outcome.DONE

    assert await bare_world.replica("SELECT count(*) FROM collaboration_permissions") == [(0,)]


async def test_hiding_many_posts_at_once_is_never_guarded(world: World) -> None:
    await world.sync()
    await world.primary.execute("UPDATE posts SET hidden = true")

    assert await world.sync() is Outcome.DONE

    assert await world.replica(OPEN_POSTS) == [(0,)]


async def test_confirmed_rows_go_and_no_more_than_were_confirmed(world: World) -> None:
    await world.sync()
    await world.primary.execute("DELETE FROM posts WHERE author <> 'alice'")
    await world.sync()
    waiting = await closed_rows(world, "posts")
    for table, number in (("posts", waiting - 1), ("collaboration_documents", waiting)):
        with pytest.raises(PresenceError) as refused:
            await guard.confirm(world.database, table, number)
        assert refused.value.kind is CONFLICT
    await guard.confirm(world.database, "posts", waiting)

    assert await world.sync() is Outcome.DONE

    assert await world.replica("SELECT DISTINCT author FROM posts") == [("alice",)]
    assert await world.error_of("posts") is None
    assert await closed_rows(world, "posts") == 0


async def test_a_confirmation_is_spent_by_one_pass_and_is_not_for_rows_that_vanish_after_it(world: World) -> None:
    await world.sync()
    await world.primary.execute("CREATE TABLE kept AS SELECT * FROM posts; DELETE FROM posts WHERE author = 'bob'")
    await world.primary.execute("DELETE FROM posts WHERE author = 'carol'")
    await world.sync()
    waiting = await closed_rows(world, "posts")
    await guard.confirm(world.database, "posts", waiting)
    await world.primary.execute("DELETE FROM posts WHERE author = 'dave'")

    assert await world.sync() is Outcome.FAILED  # more than was confirmed
    await world.primary.execute("DELETE FROM posts; INSERT INTO posts SELECT * FROM kept")
    assert await world.sync() is Outcome.DONE
    await world.primary.execute("DELETE FROM posts WHERE author = 'bob'")
    await world.primary.execute("DELETE FROM posts WHERE author = 'carol'")

    assert await world.sync() is Outcome.FAILED
    assert await closed_rows(world, "posts") == waiting


async def test_a_confirmation_is_spent_also_by_a_pass_that_finds_the_rows_back(world: World) -> None:
    await world.sync()
    await world.primary.execute("CREATE TABLE kept AS SELECT * FROM posts; DELETE FROM posts WHERE author <> 'alice'")
    await world.sync()
    await guard.confirm(world.database, "posts", await closed_rows(world, "posts"))
    await world.primary.execute("DELETE FROM posts; INSERT INTO posts SELECT * FROM kept")
    assert await world.sync() is Outcome.DONE
    await world.primary.execute("DELETE FROM posts WHERE author <> 'alice'")

    assert await world.sync() is Outcome.FAILED

    assert await world.replica("SELECT count(*) FROM posts") == [(213,)]
