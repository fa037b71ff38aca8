"""The PostgreSQL server: its databases, and what a database holds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg

MAINTENANCE = "postgres"  # the database to be in while others are made, renamed and dropped
CONNECT_SECONDS = 10.0

type Connection = asyncpg.Connection[asyncpg.Record]

_TABLES = """
SELECT quote_ident(nspname) || '.' || quote_ident(relname) AS name
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND relpersistence <> 't' AND nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY name
"""
_OWNERS = """
SELECT quote_ident(nspname) || '.' || quote_ident(relname) AS name, pg_get_userbyid(relowner) AS owner
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
JOIN pg_database ON datname = current_database()
WHERE relkind IN ('r', 'p', 'v', 'm') AND nspname NOT IN ('pg_catalog', 'information_schema') AND relowner <> datdba
ORDER BY name
"""


class Server:
    """A server, seen from the database that `url` names. `role` is taken after the login, where one is given."""

    def __init__(self, url: str, role: str | None = None) -> None:
        self.url = url
        self.role = role
        self.database = unquote(urlsplit(url).path.removeprefix("/"))

    @asynccontextmanager
    async def connect(self, database: str | None = None) -> AsyncIterator[Connection]:
        """Connects to a database, by default the one of the URL. No statement has a time limit."""
        settings = {"application_name": "presence backup", "statement_timeout": "0", "timezone": "UTC"}
        if self.role:
            settings["role"] = self.role
        url = self.url_of(database or self.database)
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS, server_settings=settings)
        try:
            yield connection
        finally:
            await connection.close()

    def url_of(self, database: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{database}").geturl()

    def for_libpq(self, database: str) -> tuple[list[str], dict[str, str]]:
        """Returns arguments and environment of PostgreSQL's own programs; a command line shows no password."""
        parts = urlsplit(self.url_of(database))
        user, at, host = parts.netloc.rpartition("@")
        name, _, password = user.partition(":")
        arguments = [f"--dbname={parts._replace(netloc=f'{name}{at}{host}').geturl()}", "--no-password"]
        if self.role:
            arguments.append(f"--role={self.role}")
        return arguments, {"PGPASSWORD": unquote(password)} if password else {}

    async def drop(self, *databases: str) -> None:
        """Drops databases, with their sessions."""
        async with self.connect(MAINTENANCE) as connection:
            for database in databases:
                await connection.execute(f"DROP DATABASE IF EXISTS {quoted(database)} WITH (FORCE)")

    async def leftovers(self, prefix: str) -> list[str]:
        """Returns the databases whose names begin so."""
        async with self.connect(MAINTENANCE) as connection:
            rows = await connection.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", prefix)
            return [row["datname"] for row in rows]

    async def create(self, database: str) -> None:
        """Makes an empty database with the letters of the URL's."""
        async with self.connect(MAINTENANCE) as connection:
            like = await connection.fetchrow(
                "SELECT datcollate, datctype FROM pg_database WHERE datname = $1", self.database
            )
            locale = f" LC_COLLATE {literal(like['datcollate'])} LC_CTYPE {literal(like['datctype'])}" if like else ""
            await connection.execute(f"CREATE DATABASE {quoted(database)} TEMPLATE template0 ENCODING 'UTF8'{locale}")


async def version(connection: Connection) -> int:
    """Returns the server's `server_version_num`."""
    return int(await connection.fetchval("SELECT current_setting('server_version_num')"))


async def count_rows(connection: Connection) -> dict[str, int]:
    """Returns the rows of each table, partitions each for itself."""
    names = [row["name"] for row in await connection.fetch(_TABLES)]
    return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in names}  # noqa: S608


async def owners(connection: Connection) -> dict[str, str]:
    """Returns the owners of the tables and views that are not the database owner's."""
    return {row["name"]: row["owner"] for row in await connection.fetch(_OWNERS)}


async def revision(connection: Connection) -> str:
    """Returns the revision of the schema; empty for a database without one."""
    if await connection.fetchval("SELECT to_regclass('public.alembic_version')") is None:
        return ""
    return str(await connection.fetchval("SELECT version_num FROM public.alembic_version"))


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"
