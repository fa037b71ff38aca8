"""Connections to the primary, which is never written to. Each read is one statement, so one read-only transaction."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from services.sync_worker.primary import statements

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    type Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

VERIFIED = ("verify-ca", "verify-full")  # the modes of sslmode in which a certificate is asked for
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 1.0
STATEMENT_SECONDS = 30.0
ANSWER_SECONDS = STATEMENT_SECONDS + 1  # the primary ends a statement sooner itself
APPLICATION = "presence sync_worker"
_OURS = {"application_name": APPLICATION, "timezone": "UTC"}  # PgBouncer knows these
_READ_ONLY = {"default_transaction_read_only": "on", "statement_timeout": f"{STATEMENT_SECONDS:.0f}s"}
# Without parameters, so without a prepared statement, which would stay with a connection that a pooler lends.
_HOLDS = """DO $$ BEGIN IF current_setting('default_transaction_read_only') <> 'on' THEN
            RAISE 'a pooler has dropped what the session asked for'; END IF; END $$"""
_BEGIN = f"BEGIN READ ONLY; SET LOCAL statement_timeout = '{STATEMENT_SECONDS:.0f}s'"
# ValueError: a malformed URL. InternalClientError: the connection was cut while asyncpg was about to use it.
AWAY = (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


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
        if absent := missing_authority(self._dsn):
            raise PrimaryAway(f"cannot connect to the primary: there is no file {absent} (DB_PRIMARY_SSLROOTCERT)")
        try:
            primary = await self._connect()
        except AWAY as error:
            raise PrimaryAway(f"cannot connect to the primary: {reason_of(error, CONNECT_SECONDS)}") from error
        try:
            yield primary
        finally:
            with contextlib.suppress(*AWAY):
                await primary.close()

    async def _connect(self) -> "Primary":
        """Connects with a session that only reads; through a pooler that gives none, with a transaction a statement."""
        try:
            connection = await self._open(_OURS | _READ_ONLY)
        except asyncpg.ProtocolViolationError:  # PgBouncer takes no unknown parameters
            return await self._pooled()
        try:
            await connection.execute(_HOLDS)
        except asyncpg.RaiseError:  # PgBouncer ignores them, as it was told to
            await connection.close(timeout=CLOSE_SECONDS)
            return await self._pooled()
        except BaseException:
            connection.terminate()
            raise
        return Primary(connection)

    async def _pooled(self) -> "Primary":
        return Primary(await self._open(_OURS, statement_cache_size=0), is_pooled=True)

    async def _open(self, session: dict[str, str], **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            self._dsn, timeout=CONNECT_SECONDS, command_timeout=ANSWER_SECONDS, server_settings=session, **options
        )


class Primary:
    """A connection to the primary; every method may raise `PrimaryAway`.

    One that `is_pooled` may be another connection of the primary in each transaction.
    """

    def __init__(self, connection: "Connection", *, is_pooled: bool = False) -> None:
        self._connection = connection
        self._is_pooled = is_pooled
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
                if self._is_pooled:
                    return await self._fetch_in_transaction(statement, *arguments)
                return await self._connection.fetch(statement, *arguments)
        except AWAY as error:
            raise PrimaryAway(f"the primary failed: {reason_of(error, ANSWER_SECONDS)}") from error

    async def _fetch_in_transaction(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        await self._connection.execute(_BEGIN)
        try:
            return await self._connection.fetch(statement, *arguments)
        finally:
            with contextlib.suppress(*AWAY):  # what went wrong before is what matters
                await self._connection.execute("ROLLBACK")

    async def close(self) -> None:
        await self._connection.close(timeout=CLOSE_SECONDS)


def reason_of(error: Exception, patience: float) -> str:
    """Returns what an error says; of one without words, a time-out, how long was waited."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message} (DB_PRIMARY_SSLROOTCERT)"
    if isinstance(error, TimeoutError):
        return f"no answer within {patience:.0f} s"
    return str(error) or type(error).__name__


def missing_authority(dsn: str) -> str:
    """Returns the file that an address names for its authority, where there is none; asyncpg's error has no name."""
    try:
        [*_, file] = ["", *parse_qs(urlsplit(dsn).query).get("sslrootcert", [])]
    except ValueError:  # connecting will tell
        return ""
    return "" if not file or Path(file).exists() else file


def unverified_hosts(dsn: str) -> list[str]:
    """Returns the hosts of an address, other than this one, to which nothing proves that they are the primary."""
    try:
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
    except ValueError:  # connecting will tell
        return []
    if query.get("sslmode", ["prefer"])[-1] in VERIFIED:
        return []
    named = [host for value in query.get("host", []) for host in value.split(",")]
    hosts = named or [_without_port(host) for host in parts.netloc.rpartition("@")[2].split(",")]
    return [host for host in hosts if not _is_here(host)]


def _without_port(host: str) -> str:
    return host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]


def _is_here(host: str) -> bool:
    """Returns whether a host is this one: a socket, `localhost` or a loopback address."""
    if not host or host.startswith(("/", "%2F")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
