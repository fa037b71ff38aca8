"""The drill: restores the newest backup beside the live database, compares, and drops what it made."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import asyncpg
import msgspec

from services.sync_worker.backups.folder import Folder, Progress, silent
from services.sync_worker.backups.loading import compare, load
from services.sync_worker.backups.manifest import BackupError, Manifest, prove
from services.sync_worker.backups.server import Server
from services.sync_worker.backups.tools import Tools

RECORD = "drill.json"


class Drilled(msgspec.Struct):
    """The last drill, as `drill.json` in the folder: the moment of the last good one, and what went wrong since."""

    good_at: datetime | None = None
    file: str | None = None
    tried_at: datetime | None = None
    error: str | None = None


class Drill:
    """Tries backups as a role that may make databases and owns none of the live one's tables."""

    def __init__(self, server: Server, folder: Folder, tools: Tools, clock: Callable[[], datetime]) -> None:
        self._server = server
        self._folder = folder
        self._tools = tools
        self._clock = clock

    def last(self) -> Drilled:
        """Returns the record of the last drill; an empty one where there is none that can be read."""
        try:
            return msgspec.json.decode((self._folder.path / RECORD).read_bytes(), type=Drilled)
        except (OSError, msgspec.DecodeError):
            return Drilled()

    async def run(self, progress: Progress = silent) -> Manifest:
        """Tries the newest backup and returns its manifest. Raises BackupError with what is wrong, and records it.

        The folder must be locked.
        """
        record, began = self.last(), self._clock()
        newest = self._folder.newest()
        try:
            if newest is None:
                raise BackupError(f"There is no backup in {self._folder.path}.")
            await self._try(newest, progress)
        except (BackupError, OSError, asyncpg.PostgresError) as error:
            self._record(Drilled(record.good_at, record.file, began, str(error)))
            raise BackupError(str(error)) from error
        self._record(Drilled(began, newest.file, began))
        return newest

    async def _try(self, newest: Manifest, progress: Progress) -> None:
        backup = self._folder.path / newest.file
        manifest = await asyncio.to_thread(prove, backup)
        prefix = f"{self._server.database}_drill_"
        await self._server.drop(*await self._server.leftovers(prefix))
        scratch = f"{prefix}{self._clock():%Y%m%dt%H%M%Sz}"
        await self._server.create(scratch)
        try:
            await load(self._server, self._tools, backup, scratch, progress, grants=False)
            async with self._server.connect(scratch) as connection:
                await compare(connection, manifest)
        finally:
            await self._server.drop(scratch)

    def _record(self, drilled: Drilled) -> None:
        self._folder.write(RECORD, msgspec.json.encode(drilled))
