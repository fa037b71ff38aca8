"""Locks on the replica, so that of several workers one does a thing at a time."""

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from libs.common.db.engine import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CYCLE_LOCK = 0x53594E43  # "SYNC": whoever holds it runs the cycle
TITLES_LOCK = 0x5449544C  # "TITL": whoever holds it asks Hive
LOCK_WAIT_SECONDS = 3600  # a first cycle over a million posts takes minutes


@asynccontextmanager
async def lock(database: Database, number: int, *, wait: bool) -> "AsyncIterator[bool]":
    """Holds an advisory lock for the block; yields False if another worker holds it and we do not `wait`.

    It belongs to a transaction, so it goes with the connection when the process dies. A wait that
    lasts longer than LOCK_WAIT_SECONDS raises `unavailable`.
    """
    async with database.transaction() as connection:
        if wait:
            await connection.execute(text(f"SET LOCAL statement_timeout = '{LOCK_WAIT_SECONDS}s'"))
            await connection.execute(select(func.pg_advisory_xact_lock(number)))
            yield True
        else:
            yield (await connection.execute(select(func.pg_try_advisory_xact_lock(number)))).scalar_one()
