"""Roles and databases of the private PostgreSQL. Everything here may be done again and again."""

from typing import Any

import asyncpg

from deploy.local.servers.postgres import Postgres

REPLICA_ROLE, REPLICA_DATABASE = "replica_user", "dlux_presence"
PRIMARY_ROLE, PRIMARY_DATABASE = "dlux_primary", "dlux_primary"


async def make_role(server: Postgres, name: str, password: str, *, creates_roles: bool = False) -> None:
    """Make a login role, or give the one that is there this password.

    One that `creates_roles` makes databases too: a restore needs both.
    """
    connection = await asyncpg.connect(server.url)
    try:
        verb = "ALTER" if await _exists(connection, "pg_roles", "rolname", name) else "CREATE"
        options = f"LOGIN PASSWORD {_literal(password)}" + (" CREATEROLE CREATEDB" if creates_roles else "")
        await connection.execute(f"{verb} ROLE {_identifier(name)} {options}")
    finally:
        await connection.close()


async def make_database(
    server: Postgres, name: str, owner: str, template: str | None = None, locale: str | None = None
) -> None:
    """Make a database unless it is there. `template` must have no open connection, and a `locale` needs template0."""
    connection = await asyncpg.connect(server.url)
    try:
        if not await _exists(connection, "pg_database", "datname", name):
            source = f" TEMPLATE {_identifier(template)}" if template else ""
            source += f" LOCALE {_literal(locale)}" if locale else ""
            await connection.execute(f"CREATE DATABASE {_identifier(name)} OWNER {_identifier(owner)}{source}")
    finally:
        await connection.close()


async def drop_database(server: Postgres, name: str) -> None:
    """Delete a database and close its connections."""
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {_identifier(name)} WITH (FORCE)")
    finally:
        await connection.close()


async def _exists(connection: "asyncpg.Connection[Any]", catalogue: str, column: str, name: str) -> bool:
    row = await connection.fetchval(f"SELECT 1 FROM {catalogue} WHERE {column} = $1", name)  # noqa: S608
    return row is not None


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
