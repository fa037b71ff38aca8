"""Makes a backup: the dump and the manifest of one snapshot, on the disk before they can be seen."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

from libs.common.version import VERSION
from services.sync_worker.backups import server as pg
from services.sync_worker.backups.folder import Folder, Progress, silent
from services.sync_worker.backups.manifest import FORMAT, Archive, BackupError, Manifest, sum_of
from services.sync_worker.backups.server import Connection, Server
from services.sync_worker.backups.tools import Tools, run

LOOK_SECONDS = 0.3  # between two looks at how far a dump is
_ROLES = r"SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'presence\_%' ORDER BY 1"


class Dumping:
    """Makes backups of a server's database in a folder. `archive` is the folder of chat's archives, if any."""

    def __init__(
        self, server: Server, folder: Folder, tools: Tools, archive: str, clock: Callable[[], datetime]
    ) -> None:
        self._server = server
        self._folder = folder
        self._tools = tools
        self._archive = Path(archive) if archive else None
        self._clock = clock

    async def make(self, progress: Progress = silent) -> Manifest:
        """Makes a backup and returns its manifest. Raises BackupError, and then nothing looks like one.

        The folder must be locked.
        """
        self._folder.remove_leftovers()
        moment, name = await self._free_name()
        try:
            async with self._server.connect() as connection:
                manifest = await self._dump(connection, name, moment, progress)
            await asyncio.to_thread(self._folder.publish, name)  # the disk may take its time
            await asyncio.to_thread(self._folder.describe, manifest)
        except OSError as error:
            raise BackupError(f"{self._folder.path}: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                self._folder.remove_leftovers()
        return manifest

    async def _free_name(self) -> tuple[datetime, str]:
        """Returns the moment and the name of a backup that begins now; waits for the next second if one has it."""
        while True:
            moment = self._clock()
            name = f"presence-{moment:%Y%m%dT%H%M%SZ}.dump"
            if not (self._folder.path / name).exists():
                return moment, name
            await asyncio.sleep(LOOK_SECONDS)

    async def _dump(self, connection: Connection, name: str, moment: datetime, progress: Progress) -> Manifest:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            server_version = await pg.version(connection)
            program = await self._tools.find("pg_dump", server_version)
            arguments, environment = self._server.for_libpq(self._server.database)
            unfinished = self._folder.unfinished(name)
            command = [program, *arguments, "--format=custom", f"--snapshot={snapshot}", f"--file={unfinished}"]
            last = self._folder.newest()
            async with _watched(unfinished, last.bytes if last else 0, progress):
                await run(command, environment)
            rows = await pg.count_rows(connection)
            return Manifest(
                format=FORMAT,
                file=name,
                bytes=unfinished.stat().st_size,
                sha256=await asyncio.to_thread(sum_of, unfinished),
                made_at=moment,
                software=VERSION,
                revision=await pg.revision(connection),
                postgres=server_version,
                rows=rows,
                owners=await pg.owners(connection),
                roles=[row["rolname"] for row in await connection.fetch(_ROLES)],
                archives=await asyncio.to_thread(archives_in, self._archive),
            )


def archives_in(folder: Path | None) -> list[Archive]:
    """Returns the finished archives of chat in a folder."""
    files = sorted(folder.glob("chat-*.jsonl.zst")) if folder else []
    return [Archive(file.name, file.stat().st_size, sum_of(file)) for file in files]


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


@asynccontextmanager
async def _watched(file: Path, usual: int, progress: Progress) -> AsyncIterator[None]:
    """Shows how far a dump is, beside the bytes that the one before had."""

    async def look() -> None:
        while True:
            size = _size(file)
            progress("dump (bytes)", size, max(usual, size))
            await asyncio.sleep(LOOK_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
