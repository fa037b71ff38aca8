"""`python -m deploy.compose.demo primary | hive`: what the profile `demo` runs in place of data.dlux.io and of Hive.

`primary` makes the database that PRESENCE_PRIMARY_URL names, on the server of PRESENCE_DATABASE_URL, fills it and ends.
`hive` is the local stack's stand-in node, listening where other containers reach it.
"""

import asyncio
import contextlib
import os
import sys
from urllib.parse import urlsplit

import asyncpg
from aiohttp import web

from deploy.local.hive_node import application
from deploy.local.primary import Shape, seed

HIVE_PORT = 8090


async def primary(owner_url: str, url: str, shape: str) -> None:
    """Make and fill the database of `url`, and the role that it names. What is there already is left as it is."""
    parts = urlsplit(url)
    role, database = parts.username, parts.path.removeprefix("/")
    connection = await asyncpg.connect(owner_url)
    try:
        with contextlib.suppress(asyncpg.DuplicateObjectError):
            await connection.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD '{parts.password}'")
        with contextlib.suppress(asyncpg.DuplicateDatabaseError):
            await connection.execute(f'CREATE DATABASE "{database}" OWNER "{role}"')
    finally:
        await connection.close()
    print(f"The demo primary holds {await seed(url, shape)} posts.")


def main() -> None:
    """One word says which."""
    match sys.argv[1:]:
        case ["primary"]:
            shape = os.environ.get("PRESENCE_DEMO_PRIMARY_SHAPE") or Shape.MIXED
            asyncio.run(primary(os.environ["PRESENCE_DATABASE_URL"], os.environ["PRESENCE_PRIMARY_URL"], shape))
        case ["hive"]:
            web.run_app(application(), port=HIVE_PORT, print=None, access_log=None)
        case _:
            raise SystemExit("Say `primary` or `hive`.")


if __name__ == "__main__":
    main()
