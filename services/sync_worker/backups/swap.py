"""Gives the live database's name to another one. Either both are renamed or neither, whatever dies meanwhile."""

import asyncio

import asyncpg

from services.sync_worker.backups.manifest import BackupError
from services.sync_worker.backups.server import MAINTENANCE, Connection, Server, quoted

LOOK_SECONDS = 0.1
TRIES = 3  # PostgreSQL waits five seconds in each for the sessions to end
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = $1 AND pid <> pg_backend_pid() AND pg_has_role(usesysid, 'MEMBER')
"""
_GRANTS = """
SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee, privilege_type
FROM pg_database, aclexplode(datacl) WHERE datname = $1
"""


async def copy_grants(server: Server, source: str, target: str) -> None:
    """Lets those into `target` who may enter `source`: a dump does not say who they are."""
    async with server.connect(MAINTENANCE) as connection:
        grants = await connection.fetch(_GRANTS, source)
        if not grants:
            return
        async with connection.transaction():
            await connection.execute(f"REVOKE ALL ON DATABASE {quoted(target)} FROM PUBLIC")
            for grant in grants:
                await connection.execute(
                    f"GRANT {grant['privilege_type']} ON DATABASE {quoted(target)} TO {grant['grantee']}"
                )


async def swap(server: Server, live: str, new: str, kept: str) -> None:
    """Renames `live` to `kept` and `new` to `live`. Raises BackupError where sessions cannot be ended.

    The renaming holds off whoever wants to connect, so sessions that are ended meanwhile do not come back.
    """
    async with server.connect(MAINTENANCE) as connection, server.connect(MAINTENANCE) as other:
        for tries in range(TRIES):
            ending = asyncio.create_task(_end_sessions(other, live))
            try:
                async with connection.transaction():
                    if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", live):
                        await connection.execute(f"ALTER DATABASE {quoted(live)} RENAME TO {quoted(kept)}")
                    await connection.execute(f"ALTER DATABASE {quoted(new)} RENAME TO {quoted(live)}")
                return
            except asyncpg.ObjectInUseError as error:
                if tries == TRIES - 1:
                    raise BackupError(f"Sessions in {live} cannot be ended ({error}); nothing was changed.") from error
            finally:
                ending.cancel()
                await asyncio.gather(ending, return_exceptions=True)


async def _end_sessions(connection: Connection, database: str) -> None:
    while True:
        await connection.fetch(_END, database)
        await asyncio.sleep(LOOK_SECONDS)
