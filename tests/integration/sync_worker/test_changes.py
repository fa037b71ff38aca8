"""A change at the primary arrives with the next cycle, and spaces that lose access have their epoch raised."""

import asyncpg
import pytest

from libs.common.cache import RedisClient
from libs.common.spaces import SpaceKey
from services.sync_worker.replication import repository, revocations
from services.sync_worker.replication.cycle import Outcome, Trigger
from tests.integration.sync_worker.world import DEAD, World


async def test_a_changed_row_arrives(world: World) -> None:
    await world.sync()
    await world.primary.execute("UPDATE posts SET votes = 12345, rating = 1.5 WHERE permlink = 'my-360-photo'")

    await world.sync()

    assert await world.replica("SELECT votes, rating FROM posts WHERE permlink = 'my-360-photo'") == [(12345, 1.5)]


async def test_a_row_committed_late_arrives(world: World) -> None:
    late = await asyncpg.connect(world.primary_url)
    transaction = late.transaction()
    await transaction.start()
    await late.execute("INSERT INTO posts (author, permlink, block, type) VALUES ('alice', 'a-late-one', 1, '360')")
    await late.execute(
        "INSERT INTO collaboration_documents (title, creator, is_public, updated_at) "
        "VALUES ('Late', 'alice', true, now() - interval '3 days')"
    )
    await world.sync()
    await transaction.commit()
    await late.close()

    await world.sync()

    assert await world.replica("SELECT count(*) FROM posts WHERE permlink = 'a-late-one'") == [(1,)]
    assert await world.replica("SELECT count(*) FROM collaboration_documents WHERE title = 'Late'") == [(1,)]


async def test_deleted_rows_go(world: World) -> None:
    await world.sync()
    await world.primary.execute("DELETE FROM posts WHERE author = 'alice' AND permlink = 'my-360-photo'")
    await world.primary.execute("DELETE FROM collaboration_documents WHERE id = 124 OR permlink = 'open-notes'")

    await world.sync()

    assert await world.replica("SELECT count(*) FROM posts WHERE permlink = 'my-360-photo'") == [(0,)]
    documents = "SELECT count(*) FROM collaboration_documents WHERE space_id IN ('124', 'alice/open-notes')"
    assert await world.replica(documents) == [(0,)]
    assert await world.epoch("post:alice/my-360-photo") == 1
    assert await world.epoch("document:124") == 1


@pytest.mark.parametrize(
    ("change", "space", "raised"),
    [
        ("DELETE FROM collaboration_permissions WHERE document_id = 123", "document:123", 1),
        ("UPDATE collaboration_permissions SET permission = 'read' WHERE document_id = 123", "document:123", 1),
        ("UPDATE collaboration_permissions SET permission = 'admin' WHERE document_id = 123", "document:123", 0),
        (
            "UPDATE collaboration_permissions SET can_read = false, can_edit = false WHERE account = 'alice'",
            "document:bob/shared-draft",
            1,
        ),
        ("UPDATE collaboration_documents SET is_public = false WHERE id = 124", "document:124", 1),
        ("UPDATE collaboration_documents SET is_deleted = true WHERE id = 124", "document:124", 1),
        ("UPDATE collaboration_documents SET creator = 'carol' WHERE id = 123", "document:123", 1),
        ("UPDATE collaboration_documents SET is_public = true WHERE id = 123", "document:123", 0),
        ("UPDATE collaboration_documents SET content = 'New' WHERE id = 124", "document:124", 0),
        ("UPDATE collaboration_documents SET comment_permissions = 'creator_only' WHERE id = 124", "document:124", 1),
        ("UPDATE collaboration_documents SET edit_permissions = 'invited_only' WHERE id = 124", "document:124", 1),
        ("UPDATE posts SET hidden = true WHERE permlink = 'sculpture-hall'", "post:bob/sculpture-hall", 1),
        ("UPDATE posts SET flagged = true WHERE permlink = 'sculpture-hall'", "post:bob/sculpture-hall", 1),
        ("UPDATE posts SET votes = votes + 1 WHERE permlink = 'sculpture-hall'", "post:bob/sculpture-hall", 0),
        ("UPDATE posts SET hidden = false WHERE permlink = 'not-for-you'", "post:carol/not-for-you", 0),
        ("DELETE FROM presence_permissions WHERE permission = 'admin'", "community:hive-123456", 1),
        (
            "UPDATE presence_permissions SET permission = 'access' WHERE user_account = 'alice'",
            "post:bob/sculpture-hall",
            1,
        ),
    ],
)
async def test_access_taken_away_raises_the_epoch_of_the_space(
    world: World, change: str, space: str, raised: int
) -> None:
    await world.sync()
    await world.primary.execute(change)

    await world.sync()
    await world.sync()

    assert await world.epoch(space) == raised


async def test_the_first_copy_raises_no_epoch(world: World) -> None:
    await world.sync()

    assert await world.redis.redis.keys("*:epoch") == []


async def test_epochs_wait_for_redis_and_are_raised_when_it_is_back(world: World) -> None:
    await world.sync()
    await world.primary.execute("DELETE FROM collaboration_permissions WHERE document_id IN (123, 125)")
    await world.primary.execute("UPDATE posts SET hidden = true WHERE permlink = 'sculpture-hall'")
    away = RedisClient(f"redis://{DEAD}/0")

    assert await world.cycle(redis=away).run(Trigger.NOW) is Outcome.FAILED
    assert await world.replica("SELECT count(*) FROM collaboration_permissions WHERE space_id = '123'") == [(0,)]
    assert await world.sync() is Outcome.DONE

    spaces = ("document:123", "document:125", "post:bob/sculpture-hall")
    assert [await world.epoch(space) for space in spaces] == [1, 1, 1]


def spaces(*names: str) -> list[SpaceKey]:
    return [SpaceKey.from_text(name) for name in names]


async def test_whoever_takes_access_away_waits_for_nobody_who_raises_epochs(world: World) -> None:
    async with world.database.transaction() as connection:
        await revocations.remember(connection, spaces("post:alice/one"))
    async with world.database.transaction() as settling:
        assert await repository.settle_epochs(settling) == ["post:alice/one"]

        async with world.database.transaction() as connection:
            await connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
            await revocations.remember(connection, spaces("document:1"))
        await revocations.settle(world.database, world.redis.redis)

        assert [await world.epoch(space) for space in ("document:1", "post:alice/one")] == [1, 0]


async def test_who_was_removed_last_is_out_first(world: World) -> None:
    for space in ("post:alice/one", "document:1"):
        async with world.database.transaction() as connection:
            await revocations.remember(connection, spaces(space))

    async with world.database.transaction() as connection:
        assert await repository.settle_epochs(connection) == ["document:1"]


async def test_epochs_that_the_version_before_owed_are_raised(world: World) -> None:
    async with world.database.transaction() as connection:
        await connection.exec_driver_sql(
            """INSERT INTO sync_state (table_name, watermark) VALUES ('access_epochs', '{"spaces": ["document:1"]}')"""
        )

    await revocations.settle(world.database, world.redis.redis)

    assert await world.epoch("document:1") == 1
    assert await world.replica("SELECT count(*) FROM sync_state WHERE table_name LIKE 'access_epochs%'") == [(0,)]
