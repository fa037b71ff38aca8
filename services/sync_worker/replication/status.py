"""Tells how current the replica is: to operators, to `/health` and to Prometheus."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from redis.asyncio import Redis

from libs.common import cache
from libs.common.clock import now
from libs.common.contracts.content import TABLES, SyncStatus, TableStatus
from libs.common.contracts.schema.writing import encode
from libs.common.db.engine import Database
from libs.common.metrics import SYNC_LAG
from services.sync_worker.replication import repository
from services.sync_worker.replication.intervals import Intervals


async def read_status(database: Database, intervals: Intervals) -> SyncStatus:
    """Returns the status from sync_state, as it is now. Raises `unavailable`."""
    async with database.read() as connection:
        states = await repository.states(connection)
    tables = [_table(table, states.get(table, {}), intervals.stale_after(table)) for table in TABLES]
    return SyncStatus(False, tables).at(now())


async def fresh_tables(database: Database, seconds: Mapping[str, float]) -> set[str]:
    """Returns which tables ran completely and without error in the last so many `seconds`. Raises `unavailable`."""
    async with database.read() as connection:
        states = await repository.states(connection)
    tables = [_table(name, states.get(name, {}), longest) for name, longest in seconds.items()]
    return {table.table for table in tables if table.at(now()).is_current}


def _table(name: str, state: Mapping[str, Any], stale_after: float) -> TableStatus:
    under_way = state.get("watermark")
    if under_way and under_way.get("proof"):
        under_way = None  # which keeps nobody waiting
    return TableStatus(
        name,
        state.get("row_count", 0),
        state.get("last_run_at"),
        None,
        state.get("last_error"),
        state.get("closed_rows", 0),
        under_way and under_way.get("read"),
        stale_after,
    )


def unknown_status(error: str) -> SyncStatus:
    """Returns the status to publish while our own database is away."""
    return SyncStatus(False, [TableStatus(table, 0, None, None, error) for table in TABLES])


async def publish_status(redis: Redis, status: SyncStatus) -> None:
    """Shows the status to Prometheus and stores it in Redis for the edges. Raises `unavailable`."""
    for table in status.tables:
        SYNC_LAG.labels(table.table).set_function(partial(_age, table))
    with cache.redis_unavailable():
        await redis.set(cache.SYNC_STATUS, encode(status), ex=cache.SYNC_STATUS_SECONDS)


def _age(table: TableStatus) -> float:
    """Returns the table's age in seconds whenever it is asked; not a number before the first complete run."""
    lag = table.at(now()).lag_seconds
    return float("nan") if lag is None else lag
