"""What happened to a backup since it was made is seen before anything is touched."""

from pathlib import Path

import pytest

from libs.common.clock import now
from services.sync_worker.backups.folder import Folder
from services.sync_worker.backups.manifest import Manifest, Refused
from services.sync_worker.backups.restoring import Restoring
from services.sync_worker.backups.server import Server
from services.sync_worker.backups.tools import Tools
from tests.integration.sync_worker.backups.world import World

FLIPS = 100
NO_SERVER = "postgresql://nobody@127.0.0.1:9/nothing"  # the discard port: whoever asks it fails otherwise


async def restore_anywhere(folder: Folder, file: str) -> None:
    await Restoring(Server(NO_SERVER), folder, Tools(""), now).restore(file)


@pytest.fixture
async def manifest(world: World) -> Manifest:
    return await world.backup()


async def test_each_of_a_hundred_single_bits_that_flipped_is_refused_before_the_server_is_asked(
    world: World, manifest: Manifest
) -> None:
    path = world.path_of(manifest)
    whole = path.read_bytes()
    for number in range(FLIPS):
        place = number * (len(whole) - 1) // (FLIPS - 1)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << number % 8]) + whole[place + 1 :])
        with pytest.raises(Refused, match="has changed since it was made"):
            await restore_anywhere(world.folder, manifest.file)
    path.write_bytes(whole)
    with pytest.raises(OSError, match="Connect call failed"):  # past the sum, it asks the server
        await restore_anywhere(world.folder, manifest.file)


@pytest.mark.parametrize("left", [0.0, 0.5, 0.999])
async def test_a_backup_that_was_cut_off_is_refused_and_counts_for_nothing(
    world: World, manifest: Manifest, left: float
) -> None:
    path = world.path_of(manifest)
    path.write_bytes(path.read_bytes()[: int(manifest.bytes * left)])
    with pytest.raises(Refused, match=f"its manifest says {manifest.bytes}"):
        await restore_anywhere(world.folder, manifest.file)
    assert world.folder.newest() is None


async def test_one_that_grew_is_refused(world: World, manifest: Manifest) -> None:
    with world.path_of(manifest).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(Refused, match=f"its manifest says {manifest.bytes}"):
        await restore_anywhere(world.folder, manifest.file)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"format": 1}', b"\xff"])
async def test_a_manifest_that_cannot_be_read_makes_no_backup(world: World, manifest: Manifest, text: bytes) -> None:
    world.path_of(manifest).with_suffix(".json").write_bytes(text)
    with pytest.raises(Refused, match="no manifest of this version"):
        await restore_anywhere(world.folder, manifest.file)
    assert world.folder.newest() is None


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"presence-20260101T000000Z\.json is missing"):
        await restore_anywhere(Folder(tmp_path), "presence-20260101T000000Z.dump")
