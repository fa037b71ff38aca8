"""Restores a backup into a new database, and gives it the live one's name only once it is proved.

Nothing is changed before that but databases of this module's own, whose names say so. The live database stays, under
another name.
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg
from alembic.script import ScriptDirectory

from services.sync_worker.backups import server as pg
from services.sync_worker.backups.folder import Folder, Progress, silent
from services.sync_worker.backups.loading import compare, give_owners, load
from services.sync_worker.backups.manifest import BackupError, Manifest, Refused, prove
from services.sync_worker.backups.server import Connection, Server
from services.sync_worker.backups.swap import copy_grants, swap
from services.sync_worker.backups.tools import Tools, run

MIGRATIONS = Path(__file__).parents[3] / "alembic"
LOOK_SECONDS = 0.2
CONTINUATION = Path(__file__).with_name("continuation.sql")
_COUNTERS = "SELECT space_type, space_id, seq, used_at FROM public.space_counters"
_FORMER = """
CREATE TEMPORARY TABLE former_counters
(space_type text, space_id text, seq bigint, used_at timestamptz, PRIMARY KEY (space_type, space_id))
"""


@dataclass(frozen=True)
class Restored:
    """What was restored, and the name under which the database that it took the place of is kept."""

    manifest: Manifest
    kept: str


class Restoring:
    """Restores backups of a folder, as the role that owns the live database and may make another."""

    def __init__(self, server: Server, folder: Folder, tools: Tools, clock: Callable[[], datetime]) -> None:
        self._server = server
        self._folder = folder
        self._tools = tools
        self._clock = clock

    async def restore(self, name: str, progress: Progress = silent) -> Restored:
        """Puts the backup `name` in place of the live database. Raises BackupError, and then that is as it was.

        The folder must be locked. Sessions in the live database end with its name; their owners connect again.
        """
        backup = self._folder.place(name)
        progress("check", 0, 0)
        manifest = await asyncio.to_thread(prove, backup)
        await self._require_fitting(manifest)
        live = self._server.database
        await self._server.drop(*await self._server.leftovers(f"{live}_restoring_"))
        new, kept = await self._free_names(live)
        await self._server.create(new)
        try:
            await self._fill(new, backup, manifest, progress)
            progress("swap", 0, 0)
            await copy_grants(self._server, live, new)
            await swap(self._server, live, new, kept)
        except BaseException as error:
            await asyncio.shield(self._server.drop(new))
            if isinstance(error, asyncpg.PostgresError):
                raise BackupError(f"PostgreSQL refused: {error}") from error
            raise
        return Restored(manifest, kept)

    async def _free_names(self, live: str) -> tuple[str, str]:
        """Returns the names of the new database and of the one to be kept; waits for a second that has none yet."""
        taken = await self._server.leftovers(f"{live}_before_")
        while True:
            stamp = f"{self._clock():%Y%m%dt%H%M%Sz}"
            if f"{live}_before_{stamp}" not in taken:
                return f"{live}_restoring_{stamp}", f"{live}_before_{stamp}"
            await asyncio.sleep(LOOK_SECONDS)

    async def _fill(self, new: str, backup: Path, manifest: Manifest, progress: Progress) -> None:
        await load(self._server, self._tools, backup, new, progress, grants=True)
        async with self._server.connect(new) as connection:
            progress("compare", 0, 0)
            await give_owners(connection, manifest.owners)
            await compare(connection, manifest)
        if manifest.revision != head():
            progress("migrate", 0, 0)
            await self._migrate(new)
        async with self._server.connect(new) as connection:
            await self._go_on(connection)
            progress("analyze", 0, 0)
            await connection.execute("ANALYZE")

    async def _require_fitting(self, manifest: Manifest) -> None:
        """Raises Refused for a backup that this version or this server cannot take."""
        if manifest.revision not in known_revisions():
            raise Refused(
                f"{manifest.file} has the schema {manifest.revision or 'none'}, of version {manifest.software}, which "
                f"this version does not know (it knows {head()} and older): restore it with the version that made it."
            )
        async with self._server.connect(pg.MAINTENANCE) as connection:
            here = await pg.version(connection)
            if manifest.postgres // 10_000 > here // 10_000:
                raise Refused(
                    f"{manifest.file} was made by PostgreSQL {manifest.postgres // 10_000}; this server is "
                    f"{here // 10_000}, and an older one cannot take it."
                )
            roles = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        missing = sorted({*manifest.roles, *manifest.owners.values()} - roles)
        if missing:
            raise Refused(f"The server lacks roles ({', '.join(missing)}): start Presence on it once, to make them.")

    async def _migrate(self, database: str) -> None:
        command = [sys.executable, "-m", "alembic", "-c", str(MIGRATIONS / "alembic.ini"), "upgrade", "head"]
        await run(command, {"PRESENCE_DATABASE_URL": self._server.url_of(database)})

    async def _go_on(self, connection: Connection) -> None:
        """Has numbers, admissions and the replica go on from where the live database is now."""
        counters = await self._counters()
        async with connection.transaction():
            await connection.execute(_FORMER)
            await connection.copy_records_to_table("former_counters", records=counters)
            await connection.execute(CONTINUATION.read_text())
            await connection.execute("DROP TABLE former_counters")

    async def _counters(self) -> list[tuple[object, ...]]:
        """Returns the live database's counters; none where there is no such database, or nothing in it."""
        try:
            async with self._server.connect() as connection:
                return [tuple(row) for row in await connection.fetch(_COUNTERS)]
        except (asyncpg.InvalidCatalogNameError, asyncpg.UndefinedTableError):
            return []


def head() -> str:
    """Returns the newest revision that this version knows."""
    return str(ScriptDirectory(str(MIGRATIONS)).get_current_head())


def known_revisions() -> set[str]:
    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
