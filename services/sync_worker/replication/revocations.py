"""Finds the spaces where the primary took access away, and raises their epochs.

The spaces are remembered in the transaction that takes the access away and forgotten once their epochs
are raised, so neither a killed worker nor a Redis that is away leaves anybody in. No other module
knows them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import batched
from typing import Any

import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import cache
from libs.common.db.engine import Database
from libs.common.spaces import SpaceKey
from services.sync_worker.replication import repository
from services.sync_worker.tables.table import Table

_log = structlog.get_logger(__name__)
AT_ONCE = 1000  # epochs in one batch
EVERY_SECONDS = 0.5  # while a cycle writes
RETRY_SECONDS = 5.0  # without Redis


def loses_access(table: Table, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> bool:
    """Returns whether somebody may do less after `old` became `new`; None stands for no row."""
    if old is None:
        return False
    if new is None or any(old[column] != new[column] for column in table.lets_in):
        return True
    return any(after < before for before, after in zip(table.openness(old), table.openness(new), strict=True))


async def remember(connection: AsyncConnection, spaces: Iterable[SpaceKey]) -> None:
    """Remembers spaces to settle. Call it in the transaction that takes the access away."""
    affected = sorted({str(space) for space in spaces})
    if affected:
        await repository.owe_epochs(connection, affected)


@asynccontextmanager
async def settling(settle: Callable[[], Awaitable[bool]]) -> AsyncIterator[None]:
    """Calls `settle` again and again while the block goes on: of a mass of rows nobody stays until the last is written.

    It is not called at the end of the block. Where it returns False it is given more time.
    """
    ended = asyncio.Event()
    going_on = asyncio.create_task(_go_on(settle, ended))
    try:
        yield
    finally:
        ended.set()
        await going_on


async def _go_on(settle: Callable[[], Awaitable[bool]], ended: asyncio.Event) -> None:
    pause = EVERY_SECONDS
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), pause)
        if ended.is_set():
            return
        pause = EVERY_SECONDS if await settle() else RETRY_SECONDS


async def settle(database: Database, redis: Redis) -> None:
    """Raises the epochs that are owed. Raises `unavailable`, and then those not yet raised stay owed.

    An epoch may be raised twice, which costs one more authorisation and no more.
    """
    while True:
        async with database.transaction() as connection:
            owed = await repository.settle_epochs(connection)
            if owed is None:
                return
            for some in batched(owed, AT_ONCE):
                with cache.redis_unavailable():
                    await cache.raise_epochs(redis, [SpaceKey.from_text(name) for name in some])
        if owed:
            _log.info("access taken away", spaces=owed[:20], count=len(owed))
