"""All SQL of sync_worker on the primary, which it reads and never writes to.

Pages follow the key by keyset, in the primary's own collation, so that its index serves them; whether
that sorts as ours does is never relied on. Rows come as JSON, because the deployments' types differ and
one value that a driver cannot decode must not cost a page.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import msgspec

from services.sync_worker.tables.table import Key, Shape
from services.sync_worker.tables.values import Raw

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


@dataclass(frozen=True, slots=True)
class Group:
    """The rows that share one key, and the key as text: the position of a scan."""

    key: Key
    rows: Sequence[Raw]


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
    """The primary's tables over one connection; every method may raise `PrimaryAway`.

    Each is one statement, so one read-only transaction.
    """

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def columns(self, table: str) -> dict[str, str]:
        """Returns column → type of a table, empty if there is no such table. The catalogue hides no column from us."""
        rows = await self._fetch(
            """SELECT attname, format_type(atttypid, NULL) AS type FROM pg_attribute
               WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped""",
            table,
        )
        return {row["attname"]: row["type"] for row in rows}

    async def page(
        self, table: str, shape: Shape, columns: Mapping[str, str], after: Key | None, limit: int
    ) -> list[Group]:
        """Returns the next `limit` keys after `after` with their rows, in the primary's order."""
        behind = [f"({_list(shape.key)}) > ({_parameters(shape, columns)})"] if after else []
        statement = f"{_select(table, shape, columns, behind)} LIMIT {limit:d}"
        return _groups(await self._fetch(statement, *(after or ())))

    async def find(self, table: str, shape: Shape, columns: Mapping[str, str], keys: Sequence[Key]) -> list[Group]:
        """Returns the rows of those `keys` that exist."""
        names = [f"k{number}" for number in range(len(shape.key))]
        arrays = ", ".join(f"${number}::text[]" for number in range(1, len(names) + 1))
        cast = ", ".join(f"{name}::{columns[column]}" for name, column in zip(names, shape.key, strict=True))
        wanted = f"({_list(shape.key)}) IN (SELECT {cast} FROM unnest({arrays}) AS k({', '.join(names)}))"  # noqa: S608
        statement = _select(table, shape, columns, [wanted])
        return _groups(await self._fetch(statement, *map(list, zip(*keys, strict=True))))

    async def _fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            return await self._connection.fetch(statement, *arguments)
        except _AWAY as error:
            raise PrimaryAway(f"the primary failed: {_reason(error, ANSWER_SECONDS)}") from error


def _reason(error: Exception, patience: float) -> str:
    """Returns what an error says; of one without words, a time-out, how long was waited."""
    if isinstance(error, TimeoutError):
        return f"no answer within {patience:.0f} s"
    return str(error) or type(error).__name__


def _select(table: str, shape: Shape, columns: Mapping[str, str], conditions: Iterable[str]) -> str:
    """Returns the statement for rows of one shape, grouped by key. All names are constants of `tables.py`."""
    wanted = [*shape.key, *(column for column in shape.columns if column in columns)]
    where = [*(f'"{column}" IS NOT NULL' for column in shape.key), *_other_shape(shape, columns), *conditions]
    key = _list(shape.key)
    texts = ", ".join(f'"{column}"::text' for column in shape.key)
    return (
        f"SELECT ARRAY[{texts}] AS key, json_agg(r)::text AS rows "  # noqa: S608
        f'FROM (SELECT {_list(dict.fromkeys(wanted))} FROM "{table}" WHERE {" AND ".join(where)}) r '
        f"GROUP BY {key} ORDER BY {key}"
    )


def _other_shape(shape: Shape, columns: Mapping[str, str]) -> list[str]:
    """Returns the condition that excludes the rows of the other shape in a table that holds both."""
    if not shape.unless or not columns.keys() >= set(shape.unless):
        return []
    named = " AND ".join(f'"{column}" IS NOT NULL' for column in shape.unless)
    return [f"NOT ({named})"]


def _list(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _parameters(shape: Shape, columns: Mapping[str, str]) -> str:
    return ", ".join(f"${number}::text::{columns[column]}" for number, column in enumerate(shape.key, 1))


def _groups(rows: Iterable[asyncpg.Record]) -> list[Group]:
    return [Group(tuple(row["key"]), msgspec.json.decode(row["rows"])) for row in rows]
