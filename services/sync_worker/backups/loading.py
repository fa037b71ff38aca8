"""Loads a backup into a database of its own, and compares what is there with the manifest."""

from pathlib import Path

from services.sync_worker.backups import server as pg
from services.sync_worker.backups.folder import Progress
from services.sync_worker.backups.manifest import BackupError, Manifest
from services.sync_worker.backups.server import Connection, Server
from services.sync_worker.backups.tools import Tools, run

LOADS = ("processing data for table", "creating INDEX", "creating CONSTRAINT")  # what pg_restore says of the long steps
MOST_NAMED = 5  # tables that are not as they should be


async def load(server: Server, tools: Tools, backup: Path, database: str, progress: Progress, *, grants: bool) -> None:
    """Fills an empty database; everything in it is the role's own. Raises BackupError at the first error.

    Who may do what (`grants`) names roles, and only the owner's role may give default rights in their name.
    """
    async with server.connect(database) as connection:
        program = await tools.find("pg_restore", await pg.version(connection))
    arguments, environment = server.for_libpq(database)
    what = [] if grants else ["--no-privileges"]
    steps = _Steps(progress)
    command = [program, *arguments, "--no-owner", *what, "--exit-on-error", "--verbose", str(backup)]
    await run(command, environment, steps.hear)


class _Steps:
    """Counts the long steps of pg_restore as it tells them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done = 0

    def hear(self, line: str) -> None:
        if any(step in line for step in LOADS):
            self._done += 1
            self._progress("restore (tables and indexes)", self._done, 0)


async def compare(connection: Connection, manifest: Manifest) -> None:
    """Raises BackupError, naming tables, where the database does not hold what the manifest says."""
    _require_equal("rows", manifest.rows, await pg.count_rows(connection))
    found = await pg.revision(connection)
    if found != manifest.revision:
        raise BackupError(f"The schema restored is {found or 'none'}; the manifest says {manifest.revision}.")


def _require_equal(what: str, expected: dict[str, int], found: dict[str, int]) -> None:
    differing = [name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]
    if differing:
        named = [f"{name} ({found.get(name)}, not {expected.get(name)})" for name in differing[:MOST_NAMED]]
        raise BackupError(f"What was restored is not what the manifest says, by its {what}: {', '.join(named)}.")


async def give_owners(connection: Connection, owners: dict[str, str]) -> None:
    """Gives tables to those who owned them.

    An owner must be able to make tables in the schema, for the moment of becoming one.
    """
    async with connection.transaction():
        lent = []
        for schema, owner in sorted({(table.split(".")[0], owner) for table, owner in owners.items()}):
            if not await connection.fetchval("SELECT has_schema_privilege($1, $2, 'CREATE')", owner, schema):
                await connection.execute(f"GRANT CREATE ON SCHEMA {schema} TO {pg.quoted(owner)}")
                lent.append((schema, owner))
        for table, owner in owners.items():
            await connection.execute(f"ALTER TABLE {table} OWNER TO {pg.quoted(owner)}")
        for schema, owner in lent:
            await connection.execute(f"REVOKE CREATE ON SCHEMA {schema} FROM {pg.quoted(owner)}")
    if await pg.owners(connection) != owners:
        raise BackupError("The tables restored do not belong to those who owned them.")
