"""A backup: one snapshot, a manifest that says what is in it, and nothing that looks like one and is none."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.common.version import VERSION
from services.sync_worker.backups.manifest import BackupError, prove, sum_of
from services.sync_worker.backups.restoring import head
from services.sync_worker.backups.tools import Tools
from tests.integration.sync_worker.backups.world import ROWS, World

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


async def test_the_manifest_says_what_was_dumped(world: World, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "chat-2026-05.jsonl.zst").write_bytes(b"May")
    (archive / "chat-2026-06.jsonl.zst.part").write_bytes(b"unfinished")
    world.clock = lambda: NEW_YEAR

    manifest = await world.backup(str(archive))

    path = world.path_of(manifest)
    assert path.name == "presence-20270101T000000Z.dump"
    assert prove(path) == manifest == world.folder.newest()
    assert path.stat().st_mode & 0o077 == 0, "nobody else reads it"
    assert (manifest.bytes, manifest.sha256) == (path.stat().st_size, sum_of(path))
    assert (manifest.revision, manifest.software, manifest.made_at) == (head(), VERSION, NEW_YEAR)
    assert manifest.postgres == (await world.sql("SELECT current_setting('server_version_num')::int"))[0][0]
    assert manifest.rows == {name: rows for name, (rows, _) in (await world.content()).items()}
    assert manifest.owners["public.chat_messages"] == "presence_chat"
    assert "presence_backup" in manifest.roles
    assert [(one.name, one.bytes) for one in manifest.archives] == [("chat-2026-05.jsonl.zst", 3)]


async def test_rows_are_counted_in_the_snapshot_that_is_dumped_whatever_is_written_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Tools.find

    async def delete_meanwhile(tools: Tools, name: str, version: int) -> str:
        await world.sql("DELETE FROM posts")  # after the snapshot, before the dump and the counting
        return await find(tools, name, version)

    monkeypatch.setattr(Tools, "find", delete_meanwhile)
    manifest = await world.backup()
    monkeypatch.undo()
    assert manifest.rows["public.posts"] == ROWS
    await world.restore(manifest.file)
    assert await world.sql("SELECT count(*) FROM posts") == [(ROWS,)]


async def test_tools_of_another_version_than_the_servers_are_refused_by_name(world: World, tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    program.chmod(0o755)
    world.tools = Tools(str(tmp_path))
    with pytest.raises(BackupError, match=r"of pg_dump there is version 9: install postgresql-client-\d+"):
        await world.backup()
    assert files(world) == set()


async def test_a_dump_that_fails_leaves_nothing_and_the_backups_before_it_stay(world: World, tmp_path: Path) -> None:
    good = await world.backup()
    version = (await world.sql("SELECT current_setting('server_version_num')::int / 10000"))[0][0]
    program = tmp_path / "pg_dump"
    program.write_text(
        f"#!/bin/sh\ncase $1 in --version) echo 'pg_dump (PostgreSQL) {version}.0';;\n"
        '*) for word; do case $word in --file=*) echo half >"${word#--file=}";; esac; done\n'
        "echo 'could not write: No space left on device' >&2; exit 1;; esac\n"
    )
    program.chmod(0o755)
    world.tools = Tools(str(tmp_path))
    with pytest.raises(BackupError, match="pg_dump ended with 1: could not write: No space left on device"):
        await world.backup()
    assert files(world) == {good.file, good.file.replace(".dump", ".json")}


async def test_two_at_once_take_turns_and_both_are_good(world: World) -> None:
    manifests = list(await asyncio.gather(world.backup(), world.backup()))
    assert len({manifest.file for manifest in manifests}) == 2
    assert [prove(world.path_of(manifest)) for manifest in manifests] == manifests


async def test_the_newest_are_kept_and_the_first_of_each_month(world: World) -> None:
    moment = NEW_YEAR
    made = []
    for days in (0, 1, 31, 32, 40, 59, 60, 61):
        moment = NEW_YEAR + timedelta(days=days)
        world.clock = lambda moment=moment: moment  # type: ignore[misc]
        made.append((await world.backup()).file)
    old = world.folder.retire(2, 2, moment)
    assert sorted(set(made) - set(old)) == [made[2], made[5], made[6], made[7]], "of January there is none any more"
    assert files(world) == {name for file in set(made) - set(old) for name in (file, file.replace(".dump", ".json"))}
    assert world.folder.retire(0, 0, moment) == [made[6], made[5], made[2]], "the newest stays, whatever is set"


def test_of_a_foreign_file_in_the_folder_nothing_is_removed(world: World) -> None:
    world.folder.path.mkdir()
    (world.folder.path / "backup.sql").write_bytes(b"by hand")
    (world.folder.path / "presence-of-mine.dump").write_bytes(b"by hand")
    world.folder.remove_leftovers()
    assert files(world) == {"backup.sql", "presence-of-mine.dump"}


def files(world: World) -> set[str]:
    return {name for name in os.listdir(world.folder.path) if name != ".lock"}
