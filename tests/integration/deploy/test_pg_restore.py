"""`pg_restore -U replica_user backup.sql` in db_replica: a proved restore; with other options pg_restore itself."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.local.guardian import REPOSITORY
from services.sync_worker.backups.server import Server
from tests.integration.sync_worker.backups.world import ROWS, World, filled
from tests.support.servers import Servers

SCRIPT = REPOSITORY / "deploy" / "compose" / "pg_restore.sh"
CONTINUATION = REPOSITORY / "services" / "sync_worker" / "backups" / "continuation.sql"


@dataclass(frozen=True)
class Ended:
    status: int | None
    said: str
    errors: str


class Wrapper:
    """The script with the login of a superuser, which replica_user is in compose."""

    def __init__(self, servers: Servers, world: World) -> None:
        parts = urlsplit(servers.postgres.url)
        self.user = parts.username or ""
        self.environment = {
            **os.environ,
            "PGHOST": parts.hostname or "",
            "PGPORT": str(parts.port),
            "PGPASSWORD": parts.password or "",
            "POSTGRES_DB": Server(world.url).database,
            "PRESENCE_CONTINUATION": str(CONTINUATION),
        }

    async def run(self, *arguments: str) -> Ended:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            str(SCRIPT), *arguments, env=self.environment, stdout=pipe, stderr=pipe
        )
        output, errors = await process.communicate()
        return Ended(process.returncode, output.decode(), errors.decode())


@pytest.fixture
async def world(servers: Servers, tmp_path: Path) -> AsyncIterator[World]:
    async with filled(servers, tmp_path / "backups") as world:
        yield world


@pytest.fixture
def wrapper(servers: Servers, world: World) -> Wrapper:
    return Wrapper(servers, world)


async def test_one_file_is_proved_restored_beside_and_takes_the_live_name(world: World, wrapper: Wrapper) -> None:
    before, rights = await world.content(), await world.rights()
    manifest = await world.backup()
    await world.sql("DELETE FROM posts")
    ((seen,),) = await world.sql("SELECT max(seq) FROM space_counters")

    ended = await wrapper.run("-U", wrapper.user, str(world.path_of(manifest)))

    assert (ended.status, ended.errors) == (0, "")
    continued = {"public.space_counters", "public.sync_state"}
    after = await world.content()
    assert {name: after[name] for name in after.keys() - continued} == {
        name: before[name] for name in before.keys() - continued
    }
    assert [row for row in await world.rights() if row[0] != "database"] == [
        row for row in rights if row[0] != "database"
    ]
    ((raised,),) = await world.sql("SELECT min(seq) FROM space_counters")
    assert raised > seen
    (kept,) = await world.databases() - {Server(world.url).database}
    assert kept in ended.said


async def test_a_dump_by_hand_is_restored_and_said_to_have_no_manifest(world: World, wrapper: Wrapper) -> None:
    manifest = await world.backup()
    by_hand = world.path_of(manifest).rename(world.folder.path / "backup.sql")
    await world.sql("DELETE FROM posts")

    ended = await wrapper.run("-U", wrapper.user, str(by_hand))

    assert (ended.status, ended.errors) == (0, "")
    assert "has no manifest" in ended.said
    assert await world.sql("SELECT count(*) FROM posts") == [(ROWS,)]


async def refused(world: World, wrapper: Wrapper, file: Path, words: str) -> None:
    before = await world.content()
    ended = await wrapper.run("-U", wrapper.user, str(file))
    assert ended.status == 1
    assert words in ended.errors
    assert await world.content() == before
    assert await world.databases() == {Server(world.url).database}


async def test_a_flipped_bit_is_refused(world: World, wrapper: Wrapper) -> None:
    path = world.path_of(await world.backup())
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    await refused(world, wrapper, path, "has changed since it was made")


async def test_a_count_that_is_wrong_is_refused(world: World, wrapper: Wrapper) -> None:
    manifest = await world.backup()
    world.change(manifest, rows=manifest.rows | {"public.posts": 99})
    await refused(world, wrapper, world.path_of(manifest), "not what the manifest says, in public.posts")


async def test_another_schema_is_refused_with_the_command_that_takes_it(world: World, wrapper: Wrapper) -> None:
    path = world.path_of(await world.backup())
    await world.sql("UPDATE alembic_version SET version_num = 'later'")
    await refused(world, wrapper, path, f"docker compose run --rm restore {path}")


async def test_a_file_that_is_no_dump_is_refused(world: World, wrapper: Wrapper) -> None:
    path = world.folder.path / "backup.sql"
    world.folder.path.mkdir()
    path.write_bytes(b"nothing of the kind")
    await refused(world, wrapper, path, "pg_restore failed")


@pytest.mark.parametrize("arguments", [("--version",), ("--list",), ("-d", "nowhere", "-U", "me")])
async def test_with_any_other_option_it_is_pg_restore_itself(
    world: World, wrapper: Wrapper, arguments: tuple[str, ...]
) -> None:
    path = str(world.path_of(await world.backup()))
    ended = await wrapper.run(*arguments, path)
    assert "pg_restore" in ended.said + ended.errors or "Archive created at" in ended.said
    assert await world.databases() == {Server(world.url).database}
