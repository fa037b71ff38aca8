"""The drill: restores the newest backup beside the live database, and is heard when that fails."""

import os
import subprocess
from pathlib import Path

import pytest

from libs.common.clock import now
from services.sync_worker.backups.manifest import BackupError, Manifest, sum_of
from services.sync_worker.backups.server import Server
from tests.integration.sync_worker.backups.world import ROWS, World


async def test_a_good_backup_passes_beside_the_live_database_and_nothing_is_left(world: World) -> None:
    began, before = now(), await world.content()
    manifest = await world.backup()
    assert await world.try_newest() == manifest
    last = world.drill.last()
    assert (last.file, last.error) == (manifest.file, None)
    assert last.good_at is not None
    assert last.good_at >= began
    assert await world.databases() == {Server(world.url).database}
    assert await world.content() == before


async def fails(world: World, words: str) -> None:
    good_at = world.drill.last().good_at
    with pytest.raises(BackupError, match=words):
        await world.try_newest()
    last = world.drill.last()
    assert last.good_at == good_at, "the last good one is as old as it was"
    assert last.error
    assert await world.databases() == {Server(world.url).database}


async def test_a_count_that_is_wrong_by_one_fails_and_names_the_table(world: World) -> None:
    manifest = await world.backup()
    await world.try_newest()
    world.change(manifest, rows=manifest.rows | {"public.space_sanctions": ROWS - 1})
    await fails(world, rf"public.space_sanctions \({ROWS}, not {ROWS - 1}\)")


async def test_a_dump_that_lacks_a_table_fails_and_names_it(world: World) -> None:
    manifest = await world.backup()
    dump_again(world, manifest, "--exclude-table=public.space_sanctions")
    await fails(world, rf"public.space_sanctions \(None, not {ROWS}\)")


async def test_a_dump_of_the_schema_alone_fails(world: World) -> None:
    manifest = await world.backup()
    dump_again(world, manifest, "--schema-only")
    await fails(world, rf"\(0, not {ROWS}\)")


def dump_again(world: World, manifest: Manifest, option: str) -> None:
    """Puts another dump in place, and a manifest that has its sum."""
    path = world.path_of(manifest)
    subprocess.run(["pg_dump", "-Fc", option, "-f", str(path), world.url], check=True)
    world.change(manifest, bytes=path.stat().st_size, sha256=sum_of(path))


async def test_damage_fails_by_the_sum(world: World) -> None:
    path = world.path_of(await world.backup())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    await fails(world, "has changed since it was made")


async def test_without_a_backup_it_fails(world: World) -> None:
    await fails(world, "There is no backup")


async def test_what_a_killed_drill_left_on_the_server_goes_with_the_next(world: World) -> None:
    await world.backup()
    left = f"{Server(world.url).database}_drill_20260101t000000z"
    await world.server.create(left)
    assert left in await world.databases()
    await world.try_newest()
    assert await world.databases() == {Server(world.url).database}


async def test_a_record_that_cannot_be_read_is_as_good_as_none(world: World, tmp_path: Path) -> None:
    os.makedirs(world.folder.path, exist_ok=True)
    (world.folder.path / "drill.json").write_bytes(b"{")
    assert world.drill.last().good_at is None
