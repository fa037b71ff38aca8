"""Locks on the replica, so that of several workers one does a thing at a time."""

from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from libs.common.contracts.content import TABLES
from libs.common.db.engine import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TITLES_LOCK = 0x5449544C  # "TITL": whoever holds it asks Hive
TABLE_LOCKS = {name: 0x53594E4300 + number for number, name in enumerate(TABLES)}  # "SYNC": replicates that table
LOCK_WAIT_SECONDS = 3600  # a first cycle over a million posts takes minutes


@asynccontextmanager
async def locks(database: Database, numbers: Sequence[int], *, wait: bool) -> "AsyncIterator[list[int]]":
    """Holds advisory locks for the block; yields those that it has: all if we `wait`, else those that are free.

    They belong to a transaction, so they go with the connection when the process dies. A wait that
    lasts longer than LOCK_WAIT_SECONDS raises `unavailable`.
    """
    async with database.transaction() as connection:
        if wait:
            await connection.execute(text(f"SET LOCAL statement_timeout = '{LOCK_WAIT_SECONDS}s'"))
        ours = []
        for number in sorted(numbers):  # in one order, so that nobody waits for one who waits
            take = func.pg_advisory_xact_lock if wait else func.pg_try_advisory_xact_lock
            if (await connection.execute(select(take(number)))).scalar_one() is not False:
                ours.append(number)
        yield ours


@asynccontextmanager
async def lock(database: Database, number: int, *, wait: bool) -> "AsyncIterator[bool]":
    """Holds one advisory lock for the block, as `locks` does; yields False where another worker has it."""
    async with locks(database, [number], wait=wait) as ours:
        yield bool(ours)
