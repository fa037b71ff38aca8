"""kill -9 at any point, and a full disk: never a file that looks good and is not, never half a database."""

import asyncio
import os
import signal
import sys
from datetime import timedelta

import pytest

from libs.common.clock import now
from services.sync_worker.backups.manifest import prove
from services.sync_worker.backups.server import Server
from tests.integration.sync_worker.backups.world import ROWS, World
from tests.support.waiting import eventually

WORKER = "services.sync_worker"
MOST_TOUCHES = 40  # of files by one backup; far more than there are
STATEMENTS = (  # of a restore, in their order
    "DROP DATABASE",
    "CREATE DATABASE",
    "GRANT CREATE ON SCHEMA",
    "ALTER TABLE",
    "CREATE TEMPORARY TABLE",
    "DROP TABLE",
    "ANALYZE",
    "REVOKE ALL ON DATABASE",
    'ALTER DATABASE "{live}" RENAME',
    'ALTER DATABASE "{live}_restoring_',
)


class Runs:
    """Processes of the worker's commands on one world."""

    def __init__(self, world: World, redis_url: str) -> None:
        self.environment = {
            **os.environ,
            "PRESENCE_DATABASE_URL": world.url,
            "PRESENCE_REDIS_URL": redis_url,
            "PRESENCE_BACKUPS": str(world.folder.path),
        }

    async def start(self, *command: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *command, env=self.environment, stdout=pipe, stderr=pipe, start_new_session=True
        )

    async def run(self, *command: str) -> tuple[int | None, str]:
        """Returns the exit status, and all that was said on both streams."""
        process = await self.start(*command)
        said, errors = await process.communicate()
        return process.returncode, (said + errors).decode()

    async def killed(self, *arguments: str) -> int | None:
        return (await self.run(sys.executable, "-m", "tests.support.killed", *arguments))[0]


@pytest.fixture
def runs(world: World, redis_url: str) -> Runs:
    return Runs(world, redis_url)


def require_all_good(world: World, at_least: int) -> None:
    """Everything that looks like a backup is one; what was there before is there still."""
    manifests = world.folder.manifests()
    assert len(manifests) >= at_least
    assert [prove(world.path_of(manifest)) for manifest in manifests] == manifests
    assert len(list(world.folder.path.glob("presence-*.json"))) == len(manifests)


async def test_killed_before_any_touch_of_a_file_and_what_looks_like_a_backup_is_one(world: World, runs: Runs) -> None:
    await world.backup()
    statuses: list[int | None] = []
    for number in range(1, MOST_TOUCHES):
        statuses.append(await runs.killed("file", str(number), str(world.folder.path), WORKER, "backup"))
        require_all_good(world, 1)
        if statuses[-1] == 0:
            break
    assert set(statuses[:-1]) == {-signal.SIGKILL}
    assert len(statuses) > 10, "it was killed before each step"
    assert statuses[-1] == 0, "the last one had nothing left to be killed at"
    left = [name for name in os.listdir(world.folder.path) if name.startswith(".unfinished")]
    assert left == [], "the next run removes what the killed ones left"


async def test_killed_while_pg_dump_writes_there_is_no_backup_and_the_next_run_cleans_up(
    world: World, runs: Runs
) -> None:
    await world.sql(
        "INSERT INTO posts (author, permlink, type, row_hash) SELECT 'a', n, '360', md5(n::text) "
        "FROM generate_series(1, 200000) n"
    )
    process = await runs.start(sys.executable, "-m", WORKER, "backup")
    await eventually(lambda: any(path.stat().st_size for path in world.folder.path.glob(".unfinished-*")))
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    assert list(world.folder.path.glob(".unfinished-*"))
    require_all_good(world, 0)
    assert world.folder.newest() is None

    world.clock = lambda: now() + timedelta(minutes=1)  # under another name
    await world.backup()
    assert list(world.folder.path.glob(".unfinished-*")) == []
    require_all_good(world, 1)


@pytest.mark.parametrize("blocks", [1, 64, 400])  # of 512 or 1024 bytes: before, in and after the dump's first block
async def test_a_full_disk_is_said_and_leaves_nothing_but_the_backups_before(
    world: World, runs: Runs, blocks: int
) -> None:
    await world.backup()
    await world.sql(
        "INSERT INTO posts (author, permlink, type, row_hash) SELECT 'a', n, '360', md5(n::text) "
        "FROM generate_series(1, 20000) n"
    )
    limited = f"ulimit -f {blocks}; exec {sys.executable} -m {WORKER} backup"
    status, said = await runs.run("sh", "-c", limited)
    assert status == 1
    assert "pg_dump ended with" in said
    require_all_good(world, 1)
    assert len(list(world.folder.path.glob("*.dump"))) == 1
    assert list(world.folder.path.glob(".unfinished-*")) == []


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_a_restore_killed_before_any_step_leaves_the_live_database_whole_and_the_next_one_works(
    world: World, runs: Runs, statement: str
) -> None:
    live = Server(world.url).database
    manifest = await world.backup()
    await Server(world.url).create(f"{live}_restoring_20260101t000000z")  # what an earlier one left
    await world.sql("DELETE FROM posts")

    beginning = statement.format(live=live)
    assert await runs.killed("statement", beginning, WORKER, "restore", manifest.file) == -signal.SIGKILL

    assert await world.sql("SELECT count(*) FROM posts") == [(0,)]
    status, said = await runs.run(sys.executable, "-m", WORKER, "restore", manifest.file)
    assert (status, "rror" in said) == (0, False), said
    assert await world.sql("SELECT count(*) FROM posts") == [(ROWS,)]
    assert len(await world.databases()) == 2, "the live one, and the one before it"
