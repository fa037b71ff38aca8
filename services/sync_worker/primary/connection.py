"""Connections to the primary, which is never written to. Each read is one statement, so one read-only transaction."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from services.sync_worker.primary import statements

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    type Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 1.0
STATEMENT_SECONDS = 30.0
ANSWER_SECONDS = STATEMENT_SECONDS + 1  # the primary ends a statement sooner itself
_SESSION = {
    "application_name": "presence sync_worker",
    "default_transaction_read_only": "on",
    "statement_timeout": f"{STATEMENT_SECONDS:.0f}s",
    "timezone": "UTC",
}
# ValueError: a malformed URL. InternalClientError: the connection was cut while asyncpg was about to use it.
_AWAY = (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class PrimaryAway(Exception):
    """The primary cannot be reached or refuses us; the text tells how."""


class Source:
    """Makes connections to the primary."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["Primary"]:
        """Opens a connection for one cycle. Raises `PrimaryAway`."""
        if not self._dsn:
            raise PrimaryAway("no primary is configured; set PRESENCE_PRIMARY_URL or DB_PRIMARY_HOST")
        try:
            connection = await asyncpg.connect(
                self._dsn, timeout=CONNECT_SECONDS, command_timeout=ANSWER_SECONDS, server_settings=_SESSION
            )
        except _AWAY as error:
            raise PrimaryAway(f"cannot connect to the primary: {_reason(error, CONNECT_SECONDS)}") from error
        try:
            yield Primary(connection)
        finally:
            with contextlib.suppress(*_AWAY):
                await connection.close(timeout=CLOSE_SECONDS)


class Primary:
    """A connection to the primary; every method may raise `PrimaryAway`."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._history = ""
        self._probe: int | None = None
        self._one_at_a_time = asyncio.Lock()

    async def columns(self, table: str) -> dict[str, str]:
        """Returns column → type of a table, empty if there is no such table. The catalogue hides no column from us."""
        rows = await self.fetch(
            """SELECT attname, format_type(atttypid, NULL) AS type FROM pg_attribute
               WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped""",
            table,
        )
        return {row["attname"]: row["type"] for row in rows}

    async def history(self) -> str:
        """Returns what is the same while transaction ids go on: not in another cluster, nor after a restore.

        A copy of the files that was put back, or commits that a crash took, show in nothing but the start.
        """
        if not self._history:
            statement = "SELECT pg_postmaster_start_time()::text AS history"
            [[allowed]] = await self.fetch("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')")
            if allowed:
                statement = """SELECT concat_ws(' ', system_identifier, timeline_id, pg_postmaster_start_time())
                               AS history FROM pg_control_system(), pg_control_checkpoint()"""
            self._history = (await self.fetch(statement))[0]["history"]
        return self._history

    async def hash_of_probe(self) -> int:
        """Returns what the primary's hash function makes of `statements.PROBE`."""
        if self._probe is None:
            self._probe = int((await self.fetch(f"SELECT {statements.PROBE} AS probe"))[0]["probe"])
        return self._probe

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            async with self._one_at_a_time:
                return await self._connection.fetch(statement, *arguments)
        except _AWAY as error:
            raise PrimaryAway(f"the primary failed: {_reason(error, ANSWER_SECONDS)}") from error


def _reason(error: Exception, patience: float) -> str:
    """Returns what an error says; of one without words, a time-out, how long was waited."""
    if isinstance(error, TimeoutError):
        return f"no answer within {patience:.0f} s"
    return str(error) or type(error).__name__
