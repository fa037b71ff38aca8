"""A restore: everything is there again, belongs to whom it belonged, and goes on from where its clients are."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from deploy.local.databases import drop_database
from deploy.local.guardian import REPOSITORY
from deploy.logins.passwords import with_login
from deploy.logins.postgres import login
from libs.common import cache
from libs.common.cache import RedisClient
from libs.common.clock import now
from libs.common.db.engine import Database
from libs.common.db.event_log import read_after, read_heads
from libs.common.spaces import SpaceKey
from services.chat.retention import months_repository as months
from services.chat.retention.retention import Retention
from services.sync_worker.backups.manifest import BackupError, Refused
from services.sync_worker.backups.restoring import Restoring, head
from services.sync_worker.backups.server import Server
from services.sync_worker.replication import revocations
from tests.integration.sync_worker.backups.world import ROWS, World
from tests.support.servers import PASSWORDS, Servers

CONTINUED = {"public.space_counters", "public.sync_state"}  # changed by a restore, on purpose
HALL, LATE = SpaceKey("post", "bob/hall"), SpaceKey("event", "late")


async def test_every_table_is_equal_row_for_row_after_a_restore_by_an_owner_who_is_no_superuser(world: World) -> None:
    before, rights = await world.content(), await world.rights()
    filled = {name for name, (rows, _) in before.items() if rows >= ROWS}
    assert {name.rpartition("_2")[0] or name for name in filled} >= {"public.posts", "chat_partitions.chat_messages"}
    manifest = await world.backup()
    await world.sql("DELETE FROM posts")

    restored = await world.restore(manifest.file)

    after = await world.content()
    assert {name: rows for name, rows in after.items() if name not in CONTINUED} == {
        name: rows for name, rows in before.items() if name not in CONTINUED
    }
    assert await world.rights() == rights
    assert await world.sql("SELECT count(*) FROM posts", database=restored.kept) == [(0,)], "the one before is kept"
    assert await world.databases() == {Server(world.url).database, restored.kept}


async def test_chat_makes_archives_and_drops_months_after_a_restore(world: World, tmp_path: Path) -> None:
    await world.restore((await world.backup()).file)
    database = Database(with_login(world.url, login("chat"), PASSWORDS["chat"]), "chat")
    try:
        later = now().replace(year=now().year + 1)
        retention = Retention(database, str(tmp_path / "archive"), lambda: later)
        await retention.look_ahead()
        dropped = await retention.look_back()
        async with database.read() as connection:
            left = await months.existing(connection)
    finally:
        await database.stop()
    assert len(dropped) == 4
    assert len(left) == 3
    assert min(left) == later.date().replace(day=1)


async def test_sessions_of_services_end_with_the_old_database_and_come_back_in_the_new_one(world: World) -> None:
    manifest = await world.backup()
    database = Database(with_login(world.url, login("sync_worker"), PASSWORDS["sync_worker"]), "sync_worker")
    await database.start()
    try:
        async with database.transaction() as connection:
            await connection.exec_driver_sql("DELETE FROM posts")
        await world.restore(manifest.file)

        async with database.read() as connection:
            posts = await connection.exec_driver_sql("SELECT count(*) FROM posts")
            assert posts.scalar_one() == ROWS
    finally:
        await database.stop()


async def count(world: World, space: SpaceKey, seq: int) -> None:
    await world.sql(
        "INSERT INTO space_counters (space_type, space_id, seq) VALUES ($1, $2, $3) "
        "ON CONFLICT (space_type, space_id) DO UPDATE SET seq = excluded.seq, used_at = now()",
        *(space.space_type, space.space_id, seq),
    )


async def test_numbers_of_a_space_never_go_back_and_who_saw_later_ones_is_told_of_a_gap(world: World) -> None:
    await count(world, HALL, 5)
    manifest = await world.backup()
    await count(world, HALL, 9)
    await count(world, LATE, 7)

    await world.restore(manifest.file)

    database = Database(world.url, "spaces_auth")
    try:
        async with database.read() as connection:
            heads = await read_heads(connection, [HALL, LATE])
            assert heads[HALL] > 9
            assert heads[LATE] > 7, "a space that only the later database knew begins above what it had"
            for space, seen in ((HALL, 5), (HALL, 9), (LATE, 7)):
                # What a replica compares: fewer events than numbers are a gap, and the snapshot is the truth.
                assert len(await read_after(connection, space, seen, 500)) < heads[space] - seen
    finally:
        await database.stop()


async def test_numbers_rise_also_when_an_older_backup_follows_a_newer_one(world: World) -> None:
    await count(world, HALL, 5)
    older = await world.backup()
    seen = []
    for manifest in (older, await world.backup(), older):
        await world.restore(manifest.file)
        seen.append((await world.sql("SELECT seq FROM space_counters WHERE space_id = $1", HALL.space_id))[0][0])
    assert seen == sorted(set(seen))


async def test_a_restore_owes_the_access_epochs_of_the_spaces_in_use_and_sync_worker_raises_them(
    world: World, redis_url: str
) -> None:
    await world.sql("DELETE FROM space_counters")
    await count(world, HALL, 5)
    manifest = await world.backup()
    await count(world, LATE, 7)
    redis, database = RedisClient(redis_url), Database(world.url, "sync_worker")
    try:
        before = {space: await cache.raise_epoch(redis.redis, space) for space in (HALL, LATE)}
        await world.restore(manifest.file)
        await revocations.settle(database, redis.redis)
        after = await cache.read_epochs(redis.redis, [HALL, LATE])
    finally:
        await database.stop()
        await redis.stop()
    assert {space: after[space] > before[space] for space in before} == {HALL: True, LATE: True}


async def test_every_epoch_in_redis_is_raised_by_whoever_may_look_for_them(redis_url: str) -> None:
    redis = RedisClient(redis_url)
    try:
        before = {space: await cache.raise_epoch(redis.redis, space) for space in (HALL, LATE)}
        assert await cache.raise_every_epoch(redis.redis) == 2
        after = await cache.read_epochs(redis.redis, [HALL, LATE])
    finally:
        await redis.stop()
    assert {space: after[space] - before[space] for space in before} == {HALL: 1, LATE: 1}


async def test_the_replica_is_not_current_after_a_restore_until_every_table_was_read_anew(world: World) -> None:
    await world.sql("INSERT INTO sync_state (table_name, watermark, last_run_at) VALUES ('posts', '{\"a\": 1}', now())")
    await world.restore((await world.backup()).file)
    state = await world.sql("SELECT watermark, last_run_at FROM sync_state WHERE table_name = 'posts'")
    assert state == [(None, None)]


async def untouched(world: World, manifest_file: str, error: type[Exception], words: str) -> None:
    """Requires that the restore is refused, and that the live database and its neighbours are as they were."""
    before = await world.content()
    with pytest.raises(error, match=words):
        await world.restore(manifest_file)
    assert await world.content() == before
    assert await world.databases() == {Server(world.url).database}


async def test_a_backup_with_a_newer_schema_than_the_code_is_refused(world: World) -> None:
    manifest = await world.backup()
    world.change(manifest, revision="9999")
    await untouched(world, manifest.file, Refused, f"schema 9999.*knows {head()} and older")


async def test_a_backup_of_a_newer_postgresql_is_refused(world: World) -> None:
    manifest = await world.backup()
    world.change(manifest, postgres=990001)
    await untouched(world, manifest.file, Refused, "made by PostgreSQL 99")


async def test_a_manifest_of_another_format_is_refused(world: World) -> None:
    manifest = await world.backup()
    world.change(manifest, format=2)
    await untouched(world, manifest.file, Refused, "format 2")


async def test_a_server_without_the_roles_is_told_how_to_get_them(world: World) -> None:
    manifest = await world.backup()
    world.change(manifest, roles=["presence_unheard_of"])
    await untouched(world, manifest.file, Refused, r"lacks roles \(presence_unheard_of\): start Presence")


async def test_a_backup_without_a_manifest_is_refused(world: World) -> None:
    manifest = await world.backup()
    world.path_of(manifest).with_suffix(".json").unlink()
    await untouched(world, manifest.file, Refused, "missing: nothing says what")


async def test_one_row_fewer_than_the_manifest_says_and_the_live_database_stays(world: World) -> None:
    manifest = await world.backup()
    world.change(manifest, rows=manifest.rows | {"public.posts": ROWS + 1})
    await untouched(world, manifest.file, BackupError, rf"public.posts \({ROWS}, not {ROWS + 1}\)")


async def test_a_session_that_cannot_be_ended_keeps_the_live_database(servers: Servers, world: World) -> None:
    manifest = await world.backup()
    superuser = await asyncpg.connect(Server(servers.postgres.url).url_of(Server(world.url).database))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("services.sync_worker.backups.swap.TRIES", 1)
            await untouched(world, manifest.file, BackupError, "cannot be ended")
    finally:
        await superuser.close()


async def test_an_older_schema_is_restored_and_then_migrated(servers: Servers, world: World, tmp_path: Path) -> None:
    url = await servers.new_database(migrated=False)
    await asyncio.to_thread(_upgrade, url, "0011")
    old = World(url, tmp_path / "older")
    await old.sql("INSERT INTO posts (author, permlink, type, row_hash) VALUES ('a', 'b', '360', 'x')")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(World, "server", Server(url))  # the role of backups cannot read what is older than itself
            manifest = await old.backup()
        assert manifest.revision == "0011"
        async with world.folder.lock():
            restoring = Restoring(Server(world.url), old.folder, old.tools, now)
            await restoring.restore(manifest.file)
        assert await world.sql("SELECT version_num FROM alembic_version") == [(head(),)]
        assert await world.sql("SELECT author FROM posts") == [("a",)]
    finally:
        await drop_database(servers.postgres, Server(url).database)


def _upgrade(url: str, revision: str) -> None:
    command = [sys.executable, "-m", "alembic", "-c", "alembic/alembic.ini", "upgrade", revision]
    environment = {**os.environ, "PRESENCE_DATABASE_URL": url}
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True)


async def test_what_only_starts_while_databases_change_names_is_held_off_and_finds_the_new_one(world: World) -> None:
    manifest = await world.backup()
    found: list[int] = []
    restoring = asyncio.create_task(world.restore(manifest.file))

    async def keep_asking() -> None:
        while not restoring.done():
            try:
                found.append((await world.sql("SELECT count(*) FROM posts"))[0][0])
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
                await asyncio.sleep(0)

    await asyncio.gather(*(keep_asking() for _ in range(3)))
    await restoring
    assert set(found) == {ROWS}
    assert await world.sql("SELECT count(*) FROM posts") == [(ROWS,)]
