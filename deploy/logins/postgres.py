"""Logins at PostgreSQL: the roles that the migrations grant to, each with a password, none with a word about roles.

A service logs in as the role itself. So there is no other role behind it that `RESET ROLE` could give back.
"""

from collections.abc import Mapping

import asyncpg


def login(service: str) -> str:
    """The name of a service's role: `presence_chat`."""
    return f"presence_{service}"


async def set_logins(owner_url: str, passwords: Mapping[str, str]) -> None:
    """Lets each service log in to the migrated database of `owner_url`, and nobody else but its owner.

    `owner_url` is that of the role that ran the migrations. May be done again and again.
    """
    connection = await asyncpg.connect(owner_url)
    try:
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        async with connection.transaction():
            await connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")  # CONNECT and TEMPORARY
            for service, password in passwords.items():
                role = login(service)
                literal = await connection.fetchval("SELECT quote_literal($1::text)", password)
                await connection.execute(f"ALTER ROLE {role} LOGIN PASSWORD {literal}")
                await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {role}")
    finally:
        await connection.close()
