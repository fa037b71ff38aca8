"""Databases that are used again: to make one and to drop it costs as much as ten small tests.

A database that a test gave back is wiped and goes to the next test. One whose schema, or whose first rows, a test
changed is dropped, and so is one that became large: what the next test gets is as good as new, or new.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

LARGEST = 1_000_000  # bytes of a table that is wiped
MOST_RELATIONS = 60  # tables, indexes and such of a database that was empty at first, and is emptied

type Connection = asyncpg.Connection[Any]
type Make = Callable[[], Awaitable[str]]

# Rows of the catalogues that a test could have written, whatever it did to the schema. Updates change `xmin`.
_SCHEMA = """
SELECT coalesce(sum(hashtextextended(row, 0)), 0)::text || ' ' || count(*) FROM (
  SELECT 'class' || oid || ' ' || xmin AS row FROM pg_class WHERE oid >= 16384
  UNION ALL SELECT 'attribute' || attrelid || ' ' || attnum || ' ' || xmin FROM pg_attribute WHERE attrelid >= 16384
  UNION ALL SELECT 'proc' || oid || ' ' || xmin FROM pg_proc WHERE oid >= 16384
  UNION ALL SELECT 'trigger' || oid || ' ' || xmin FROM pg_trigger WHERE oid >= 16384
  UNION ALL SELECT 'constraint' || oid || ' ' || xmin FROM pg_constraint WHERE oid >= 16384
  UNION ALL SELECT 'namespace' || oid || ' ' || xmin FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
  UNION ALL SELECT 'trigger of events' || oid FROM pg_event_trigger
  UNION ALL SELECT 'publication' || oid FROM pg_publication
  UNION ALL SELECT 'setting' || setrole || s.xmin FROM pg_db_role_setting s, pg_database d
    WHERE s.setdatabase = d.oid AND datname = current_database()
) AS rows
"""
_TABLES = """
SELECT c.oid::regclass::text AS name, pg_relation_size(c.oid) AS bytes FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.oid >= 16384 AND n.nspname !~ '^pg_'
"""
_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_SEQUENCES = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"
_EMPTY = """
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC
"""


class UsedAgain:
    """Databases of one kind. `make` makes one; `as_superuser` turns its URL into the superuser's."""

    def __init__(self, make: Make, as_superuser: Callable[[str], str], drop: Callable[[str], Awaitable[None]]) -> None:
        self._make, self._as_superuser, self._drop = make, as_superuser, drop
        self._free: list[str] = []
        self._schemas: dict[str, str] = {}
        self._ages: dict[str, int] = {}  # the transactions of its tests are later
        self._first_rows: dict[str, tuple[str, ...]] = {}

    async def take(self) -> str:
        """Returns the URL of a database that is as it was made."""
        if self._free:
            return self._free.pop()
        url = await self._make()
        connection = await asyncpg.connect(self._as_superuser(url))
        try:
            self._schemas[url] = await connection.fetchval(_SCHEMA)
            self._ages[url] = await connection.fetchval("SELECT txid_current()")
            self._first_rows[url] = await _rows_of(connection, await _filled(connection))
        finally:
            await connection.close()
        return url

    async def give_back(self, url: str) -> None:
        """Closes its connections, and keeps the database for the next test or drops it."""
        try:
            connection = await asyncpg.connect(self._as_superuser(url))
        except asyncpg.InvalidCatalogNameError:  # its test took it away
            return
        try:
            await connection.execute(_OTHERS)
            is_clean = await self._wipe(connection, url)
        finally:
            await connection.close()
        if is_clean:
            self._free.append(url)
        else:
            await self._drop(url)

    async def _wipe(self, connection: Connection, url: str) -> bool:
        """Deletes the rows that tests wrote; returns whether all is as it was at first."""
        if await connection.fetchval(_SCHEMA) != self._schemas[url]:
            return False
        names = await _filled(connection)
        if names is None:
            return False
        await connection.execute("SET session_replication_role = replica")  # neither triggers nor references
        for name in names:
            await connection.execute(f"DELETE FROM {name} WHERE xmin::text::bigint >= {self._ages[url]}")
        await connection.execute(_SEQUENCES)
        return await _rows_of(connection, await _filled(connection) or []) == self._first_rows[url]


class EmptiedAgain(UsedAgain):
    """Likewise, of databases without any table: what tests made in them is dropped."""

    async def _wipe(self, connection: Connection, url: str) -> bool:
        if await connection.fetchval("SELECT count(*) FROM pg_class WHERE oid >= 16384") > MOST_RELATIONS:
            return False
        await connection.execute(_EMPTY)
        namespaces = "SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'"
        left = await connection.fetchval("SELECT count(*) FROM pg_class WHERE oid >= 16384")
        return (left, await connection.fetchval(namespaces)) == (0, 4)


async def _filled(connection: Connection) -> list[str] | None:
    """Returns the tables that have rows, or None where one is too large to be wiped."""
    tables = await connection.fetch(_TABLES)
    if any(table["bytes"] > LARGEST for table in tables):
        return None
    names = sorted(table["name"] for table in tables if table["bytes"])
    if not names:
        return []
    found = " UNION ALL ".join(f"SELECT '{name}' AS name WHERE EXISTS (SELECT FROM {name})" for name in names)
    return [row["name"] for row in await connection.fetch(found)]


async def _rows_of(connection: Connection, names: list[str] | None) -> tuple[str, ...]:
    """Returns a line a table: how many rows, and who wrote the last one."""
    if names is None:
        raise AssertionError("a database that is this large cannot be used again")
    lines = [
        await connection.fetchval(f"SELECT '{name} ' || count(*) || ' ' || sum(xmin::text::bigint) FROM {name}")
        for name in names
    ]
    return tuple(lines)
