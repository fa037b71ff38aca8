"""The commands of `python -m services.sync_worker`, each a process of its own."""

import asyncio
import base64
import contextlib
import os
import pty
import sys
from dataclasses import dataclass

import pytest

from services.sync_worker.locks import TABLE_LOCKS, lock
from tests.integration.sync_worker.world import DEAD, World
from tests.support.waiting import eventually

BAR = "━"


@dataclass(frozen=True)
class Ended:
    status: int | None
    output: str
    errors: str


class Commands:
    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    async def run(self, *arguments: str) -> Ended:
        command = (sys.executable, "-m", "services.sync_worker", *arguments)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, env=self.environment, stdout=pipe, stderr=pipe)
        output, errors = await process.communicate()
        return Ended(process.returncode, output.decode(), errors.decode())


@pytest.fixture
def commands(world: World, database_url: str, redis_url: str, hive_url: str) -> Commands:
    return Commands(
        {
            **os.environ,
            "PRESENCE_DATABASE_URL": database_url,
            "PRESENCE_REDIS_URL": redis_url,
            "PRESENCE_HIVE_NODES": hive_url,
            "PRESENCE_PRIMARY_URL": world.primary_url,
        }
    )


async def test_run_brings_every_table_up_to_date_and_says_how_they_are(world: World, commands: Commands) -> None:
    ended = await commands.run("run")

    assert (ended.status, await world.replica("SELECT count(*) FROM posts")) == (0, [(213,)])
    assert "collaboration_documents" in ended.output


LONG = (  # what takes long in the environment of a test that has no backups
    ("services.sync_worker", "run"),
    ("services.sync_worker", "proof"),
    ("services.sync_worker", "titles"),
    ("services.spaces_auth.retention.retention",),
    ("services.webhook_dispatcher.retention",),
)


@pytest.mark.parametrize("arguments", LONG, ids=" ".join)
async def test_what_takes_long_shows_bars_on_a_terminal_and_none_elsewhere(
    commands: Commands, arguments: tuple[str, ...]
) -> None:
    environment = {**commands.environment, "TERM": "xterm", "PRESENCE_SECRET_KEY": base64.b64encode(bytes(32)).decode()}
    terminal, screen = pty.openpty()
    command = (sys.executable, "-m", *arguments)
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=nowhere, stderr=screen)
    os.close(screen)
    seen = await asyncio.to_thread(read_all, terminal)
    assert (await process.wait(), BAR in seen) == (0, True)

    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=nowhere, stderr=pipe)
    _, errors = await process.communicate()
    assert (process.returncode, errors.decode()) == (0, "")


def read_all(terminal: int) -> str:
    """Returns what was drawn on a terminal until nobody holds its other side any more."""
    seen = b""
    with contextlib.suppress(OSError):  # Linux says so by an error
        while part := os.read(terminal, 65536):
            seen += part
    os.close(terminal)
    return seen.decode()


async def test_once_is_still_understood(world: World, commands: Commands) -> None:
    assert (await commands.run("--once")).status == 0
    assert await world.replica("SELECT count(*) FROM posts") == [(213,)]


async def test_run_of_one_table_leaves_the_others(world: World, commands: Commands) -> None:
    assert (await commands.run("run", "presence_permissions")).status == 0
    assert await world.replica("SELECT count(*) FROM posts") == [(0,)]
    assert await world.replica("SELECT count(*) FROM presence_permissions") == [(4,)]


async def test_run_fails_and_says_why_when_the_primary_is_away(commands: Commands) -> None:
    commands.environment["PRESENCE_PRIMARY_URL"] = f"postgresql://nobody@{DEAD}/nothing"

    ended = await commands.run("run")

    assert ended.status == 1
    assert "cannot connect to the primary" in ended.output


async def test_a_table_that_is_not_replicated_is_refused_by_name(commands: Commands) -> None:
    ended = await commands.run("run", "secrets")

    assert ended.status == 2
    assert "'secrets' is none of posts, " in ended.errors


async def test_the_command_that_the_guard_names_deletes_what_it_said_and_no_more(
    world: World, commands: Commands
) -> None:
    await world.sync()
    await world.primary.execute("DELETE FROM posts WHERE author <> 'alice'")
    await world.sync()
    named = (await world.error_of("posts") or "").partition("python -m services.sync_worker ")[2].split()
    too_few = await commands.run(*named[:-1], str(int(named[-1]) - 1))
    assert (too_few.status, await world.replica("SELECT count(*) FROM posts")) == (1, [(213,)])
    assert f"conflict: {named[-1]} rows of posts wait for a confirmation" in too_few.errors

    assert (await commands.run(*named)).status == 0

    assert await world.replica("SELECT DISTINCT author FROM posts") == [("alice",)]
    again = await commands.run(*named)
    assert (again.status, again.errors) == (1, "conflict: No rows of posts wait for a confirmation.\n")


WAITING = """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
             WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"""


async def test_run_waits_for_the_cycle_under_way_and_then_runs_its_own(world: World, commands: Commands) -> None:
    async def waits() -> bool:
        return await world.replica(WAITING) == [(1,)]

    async with lock(world.database, TABLE_LOCKS["posts"], wait=True):
        running = asyncio.create_task(commands.run("run", "posts"))
        await eventually(waits)

    assert (await running).status == 0
    assert await world.replica("SELECT count(*) FROM posts") == [(213,)]


async def test_a_proof_counts_the_rows_that_differed_and_mends_them(world: World, commands: Commands) -> None:
    await world.sync()
    clean = await commands.run("proof")
    two = "permlink IN ('my-360-photo', 'sculpture-hall')"
    await world.primary.execute(f"UPDATE posts SET votes = votes + 1 WHERE {two}")
    changed = await commands.run("proof")

    assert (clean.status, changed.status) == (0, 0)
    assert "posts: 0 rows differed." in clean.output
    assert "posts: 2 rows differed." in changed.output
    posts = f"SELECT permlink, votes FROM posts WHERE {two} ORDER BY 1"
    assert await world.replica(posts) == await world.original(posts)


async def test_status_fails_until_every_table_is_current(world: World, commands: Commands) -> None:
    before = await commands.run("status")
    await world.sync()
    after = await commands.run("status")

    assert (before.status, after.status) == (1, 0)
    assert "never" in before.output
    assert "213" in after.output


async def test_titles_are_fetched_ahead_up_to_the_number_asked_for(world: World, commands: Commands) -> None:
    await world.sync()

    ended = await commands.run("titles", "--most", "12")

    assert (ended.status, ended.output) == (0, "12 of 12 titles fetched.\n")
    assert await world.replica("SELECT count(title) FROM posts") == [(12,)]


async def test_a_command_that_finds_no_database_says_so_in_one_line(commands: Commands) -> None:
    commands.environment["PRESENCE_DATABASE_URL"] = f"postgresql://replica_user@{DEAD}/nothing"

    ended = await commands.run("status")

    assert (ended.status, ended.errors) == (1, "unavailable: The database is away.\n")
