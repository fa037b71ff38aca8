"""The process that makes backups: when they are due, what it tells, and how loud it is when something fails."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from deploy.logins.passwords import BACKUP, with_login
from deploy.logins.postgres import login
from libs.common import cache
from libs.common.clock import now
from libs.common.contracts.content import BackupStatus
from services.sync_worker.backups import schedule
from services.sync_worker.backups.app import build
from services.sync_worker.backups.schedule import Backups
from services.sync_worker.backups.settings import BackupSettings
from services.sync_worker.backups.tools import Tools
from tests.integration.sync_worker.backups.world import World
from tests.support.servers import PASSWORDS, as_service
from tests.support.settings import defaults
from tests.support.waiting import eventually


class Process:
    """The process' parts, with the logins that it has; `look` is what it does again and again."""

    def __init__(self, world: World, redis_url: str, **changes: Any) -> None:
        self.settings = defaults(
            BackupSettings,
            database_url=with_login(world.url, login(BACKUP), PASSWORDS[BACKUP]),
            redis_url=as_service(redis_url, BACKUP),
            folder=str(world.folder.path),
            **changes,
        )
        self.service = build(self.settings)
        part = self.service._components[1]
        assert isinstance(part, Backups)
        self.backups = part

    async def look(self) -> list[Any]:
        """Looks once; returns what was logged as an error."""
        with capture_logs() as logs:
            await self.backups.look()
        return [entry for entry in logs if entry["log_level"] == "error"]

    async def told(self) -> BackupStatus:
        stored: Any = await self.backups._redis.get(cache.BACKUP_STATUS)
        return msgspec.json.decode(stored, type=BackupStatus)

    def is_late(self, seconds: float) -> None:
        """Has the clock of what is due go forward."""
        self.backups._clock = lambda: now() + timedelta(seconds=seconds)


@pytest.fixture
async def process(world: World, redis_url: str) -> AsyncIterator[Process]:
    process = Process(world, redis_url)
    yield process
    await process.service.stop()


def failures(step: str) -> float:
    return REGISTRY.get_sample_value("presence_backup_failures_total", {"step": step}) or 0.0


async def test_with_its_own_login_it_makes_the_first_backup_tries_it_and_tells(world: World, process: Process) -> None:
    assert await process.look() == []
    newest = world.folder.newest()
    assert newest
    told = await process.told()
    assert (told.made_at, told.bytes, told.error) == (newest.made_at, newest.bytes, None)
    assert told.drilled_at is not None
    assert told.seen_at(now())["ok"] is True


async def test_the_next_backup_and_the_next_drill_come_when_they_are_due(world: World, process: Process) -> None:
    await process.look()
    drilled = world.drill.last()
    process.is_late(6 * 3600 - 5)
    await process.look()
    assert len(world.folder.manifests()) == 1
    process.is_late(6 * 3600 + 1)
    await process.look()
    assert len(world.folder.manifests()) == 2
    assert world.drill.last() == drilled
    process.is_late(24 * 3600 + 1)
    await process.look()
    assert world.drill.last().file == world.folder.manifests()[0].file


async def test_a_backup_that_fails_is_an_error_in_the_log_a_count_and_told_and_is_tried_again(
    world: World, process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = failures("backup")
    monkeypatch.setattr(process.backups._dumping, "_tools", Tools(str(tmp_path)))
    (error,) = await process.look()
    assert (error["step"], "of pg_dump there is none" in error["error"]) == ("backup", True)
    assert failures("backup") == before + 1
    told = (await process.told()).seen_at(now())
    assert (told["ok"], told["made_at"]) == (False, None)
    assert "of pg_dump there is none" in told["error"]

    monkeypatch.undo()
    await process.look()
    assert world.folder.newest() is None, "not at once again"
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.0)
    assert await process.look() == []
    assert (await process.told()).seen_at(now())["ok"] is True


async def test_a_drill_that_fails_is_an_error_in_the_log_a_count_and_told(world: World, process: Process) -> None:
    manifest = await world.backup()
    world.change(manifest, rows=manifest.rows | {"public.posts": 99})
    before = failures("drill")
    (error,) = await process.look()
    assert (error["step"], "public.posts" in error["error"]) == ("drill", True)
    assert failures("drill") == before + 1
    told = (await process.told()).seen_at(now())
    assert (told["ok"], told["drilled_at"]) == (False, None)
    assert "public.posts" in told["error"]


HOOK = '#!/bin/sh\necho "$1" "$2" >>{calls}\n[ -e {broken} ] && {{ echo no space there; exit 3; }}\nexit 0\n'


async def test_the_hook_gets_the_paths_and_its_failure_is_loud_and_loses_nothing_here(
    world: World, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, broken, hook = tmp_path / "calls", tmp_path / "broken", tmp_path / "hook.sh"
    hook.write_text(HOOK.format(calls=calls, broken=broken))
    hook.chmod(0o755)
    broken.touch()
    process = Process(world, redis_url, hook=str(hook))
    before = failures("upload")

    (error,) = await process.look()

    newest = world.folder.newest()
    assert newest, "it is here"
    path = world.path_of(newest)
    assert calls.read_text() == f"{path} {path.with_suffix('.json')}\n"
    assert (error["step"], error["error"]) == ("upload", "upload: PRESENCE_BACKUP_HOOK ended with 3: no space there")
    assert failures("upload") == before + 1
    assert (await process.told()).seen_at(now())["ok"] is False

    broken.unlink()
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.0)
    assert await process.look() == []
    assert await process.look() == []
    assert len(calls.read_text().splitlines()) == 2, "the same one again, until it is taken"
    assert [manifest.file for manifest in world.folder.manifests()] == [newest.file]
    assert (await process.told()).seen_at(now())["ok"] is True
    await process.service.stop()


async def test_a_hook_that_cannot_be_run_is_loud_too(world: World, redis_url: str) -> None:
    process = Process(world, redis_url, hook="/nowhere/upload")
    (error,) = await process.look()
    assert "PRESENCE_BACKUP_HOOK cannot be run" in error["error"]
    assert world.folder.newest()
    await process.service.stop()


async def test_without_redis_backups_are_made_all_the_same(world: World) -> None:
    process = Process(world, "redis://127.0.0.1:9/0")
    assert await process.look() == []
    assert world.folder.newest()
    await process.service.stop()


async def test_prometheus_is_told_ages_that_grow_and_the_size(
    world: World, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    await process.look()
    monkeypatch.setattr(schedule, "FIRST_SECONDS", 3600.0)
    await process.service.start()
    newest = world.folder.newest()
    assert newest
    process.is_late(7200)
    samples = [
        REGISTRY.get_sample_value(f"presence_backup_{name}", {"of": of})
        for name, of in (("age_seconds", "backup"), ("age_seconds", "drill"), ("bytes", "newest"))
    ]
    assert all(sample is not None for sample in samples)
    assert [int(sample or 0) // 3600 for sample in samples[:2]] == [2, 2]
    assert samples[2] == newest.bytes


async def test_it_runs_as_a_process_and_by_the_commands(world: World, process: Process, redis_url: str) -> None:
    environment = {
        **os.environ,
        "PRESENCE_DATABASE_URL": process.settings.database_url,
        "PRESENCE_REDIS_URL": process.settings.redis_url,
        "PRESENCE_BACKUPS": process.settings.folder,
    }

    async def command(*arguments: str) -> tuple[int | None, str]:
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *arguments, env=environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await started.communicate()
        return started.returncode, output.decode()

    status, said = await command("services.sync_worker", "backup")
    newest = world.folder.newest()
    assert newest
    assert (status, f"{newest.file}: {newest.bytes:,} bytes" in said) == (0, True)
    status, said = await command("services.sync_worker", "drill")
    assert (status, f"{newest.file} can be restored" in said) == (0, True)

    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.sync_worker.backups", env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        told = await eventually(lambda: process.backups._redis.get(cache.BACKUP_STATUS))
    finally:
        running.terminate()
        assert await running.wait() == 0
    assert json.loads(told)["bytes"] == newest.bytes
