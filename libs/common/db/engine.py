"""The connection to PostgreSQL, as one service's role."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import structlog
from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.tasks.background import Background

_log = structlog.get_logger(__name__)
STATEMENT_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT = 5.0
_QUERY_CANCELED = "57014"  # of class 57, operator intervention, but it says nothing of the server
_LOCK_NOT_AVAILABLE = "55P03"
LOOK_SECONDS = 2.0  # between two looks whether the database is there
COSTLY_SECONDS = 2.0  # for which a costly read waits for a connection
COSTLY_WAITING = 8  # costly reads of a pool that wait; more are refused at once, so that they hold up no other calls


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class Database:
    """A pool of connections that act as `presence_<service>`, which may write its own tables only.

    The role is a connection setting, so that one login can serve every process; an installation that
    gives each service a login of its own works the same. Who finds no free connection waits `patience` seconds, if no
    more than `waiting` others do, and then hears `unavailable`. A pool that is used up is no database that is away.
    `options` are settings of PostgreSQL for all of its connections.
    """

    def __init__(
        self,
        url: str,
        service: str | None,
        pool: int = 10,
        *,
        patience: float | None = None,
        waiting: int | None = None,
        options: Mapping[str, str] | None = None,
        reads_only: bool = False,
    ) -> None:
        self.size = pool
        self._reads_only = reads_only
        self._patience = CONNECT_TIMEOUT if patience is None else patience
        self._most_waiting = waiting
        self._waiting = 0
        self._free = asyncio.Semaphore(pool)
        server_settings = {"application_name": f"presence {service}", "statement_timeout": str(STATEMENT_TIMEOUT_MS)}
        server_settings |= options or {}
        if service:
            server_settings["role"] = f"presence_{service}"
        if reads_only:
            server_settings["default_transaction_read_only"] = "on"
        self._engine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_size=pool,
            max_overflow=0,
            isolation_level="AUTOCOMMIT" if reads_only else "READ COMMITTED",
            hide_parameters=True,  # what people say and their secrets are parameters; errors are logged
            json_serializer=_json,
            json_deserializer=msgspec.json.decode,
            connect_args={"server_settings": server_settings, "timeout": CONNECT_TIMEOUT},
        )
        event.listen(self._engine.sync_engine, "handle_error", _mark_lost)
        event.listen(self._engine.sync_engine.pool, "checkout", _require_open)
        self.ready = False
        self._background = Background()

    @classmethod
    def reading(cls, url: str, service: str, pool: int) -> "Database":
        """Returns a pool whose connections cannot write, so that a read is its statements and nothing around them."""
        return cls(url, service, pool, reads_only=True)

    @classmethod
    def costly(cls, url: str, service: str, pool: int) -> "Database":
        """Returns a small pool for reads that may take long: they wait for each other, and for nobody else."""
        return cls(url, service, pool, patience=COSTLY_SECONDS, waiting=COSTLY_WAITING)

    async def start(self) -> None:
        """A process may start before its database does; `ready` follows what is found."""
        self._background.begin(self._look_forever())

    async def stop(self) -> None:
        await self._background.end()
        await self._engine.dispose()

    async def _look_forever(self) -> None:
        while True:
            try:
                async with self.read() as connection:
                    await connection.execute(text("SELECT 1"))
            except PoolBusy:
                _log.debug("every connection is in use")
            except Exception as error:
                self.ready = False
                _log.warning("database does not answer", error=repr(error))
            await asyncio.sleep(LOOK_SECONDS)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Commits when the block ends, rolls back when it raises. A lost server is `unavailable`."""
        async with self._connected(self._engine.begin()) as connection:
            yield connection

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[AsyncConnection]:
        """Each statement for itself, for what PostgreSQL does outside a transaction only."""
        async with self._connected(self._engine.connect()) as connection:
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def read(self, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """Read only; with `snapshot`, all statements see one moment, without it each its own."""
        if self._reads_only and not snapshot:
            async with self._connected(self._engine.connect()) as connection:
                yield connection
            return
        level = "REPEATABLE READ" if snapshot else "READ COMMITTED"
        async with self._connected(self._engine.connect()) as connection:
            await connection.execution_options(isolation_level=level, postgresql_readonly=True)
            yield connection
            await connection.rollback()

    @asynccontextmanager
    async def _connected(self, opening: AbstractAsyncContextManager[AsyncConnection]) -> AsyncIterator[AsyncConnection]:
        """Turns a lost connection into `unavailable`; leaves every other failure as it is.

        The block may ask Redis, a peer or the disk as well: their `OSError`s say nothing of the database, whose own
        arrive there as `_Lost`.
        """
        of_block: BaseException | None = None
        try:
            async with self._turn(), opening as connection:
                try:
                    yield connection
                except OSError as error:
                    of_block = error
                    raise
        except (DBAPIError, OSError, _Lost) as error:
            if error is of_block:
                raise
            if was_cut_off(error):
                raise PresenceError(UNAVAILABLE, "The database took too long for this.") from error
            if not _is_away(error):
                raise
            self.ready = False
            raise PresenceError(UNAVAILABLE, "The database is away.") from error
        else:
            self.ready = True

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Holds one of the pool's connections. Raises `PoolBusy`."""
        if self._free.locked() and self._most_waiting is not None and self._waiting >= self._most_waiting:
            raise PoolBusy
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError as error:
            raise PoolBusy from error
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


class PoolBusy(PresenceError):
    """`unavailable`: every connection of the pool is in use, which says nothing of the database."""

    def __init__(self) -> None:
        super().__init__(UNAVAILABLE, "Too much is asked at once; try again.", {"retry_after": 1})


class _Lost(Exception):
    """The driver could not reach the server in the middle of a statement, commit or rollback."""


def _mark_lost(context: ExceptionContext) -> None:
    """SQLAlchemy leaves an `OSError` of the driver (a timeout is one) as it is, like any that is not a database's."""
    if isinstance(context.original_exception, OSError):
        context.is_disconnect = True
        raise _Lost from context.original_exception


def _require_open(connection: Any, *_: object) -> None:
    """Has the pool make a new connection for one that the server closed: that is seen here, and costs no question."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _is_away(error: BaseException) -> bool:
    if not isinstance(error, DBAPIError):
        return True
    return error.connection_invalidated or _sqlstate(error)[:2] in {"08", "57", "53"}


def was_cut_off(error: BaseException) -> bool:
    """Returns whether the error means that a statement took longer than its `statement_timeout`."""
    return _sqlstate(error) == _QUERY_CANCELED


def was_kept_waiting(error: BaseException) -> bool:
    """Returns whether the error means that a lock was not to be had within its `lock_timeout`."""
    return _sqlstate(error) == _LOCK_NOT_AVAILABLE


def _sqlstate(error: BaseException) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""
