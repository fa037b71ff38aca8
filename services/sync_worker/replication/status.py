"""Tells how current the replica is: to operators, to `/health` and to Prometheus."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from redis.asyncio import Redis

from libs.common import cache
from libs.common.clock import now
from libs.common.contracts.content import TABLES, SyncStatus, TableStatus
from libs.common.contracts.schema import dump
from libs.common.db.engine import Database
from libs.common.metrics import SYNC_LAG
from services.sync_worker.replication import repository

INTERVALS = 3  # a table whose last complete run began longer ago than this is behind


async def read_status(database: Database, interval: float) -> SyncStatus:
    """Returns the status from sync_state. `interval` in seconds. Raises `unavailable`."""
    return await _read(database, INTERVALS * interval)


async def fresh_tables(database: Database, seconds: Mapping[str, float]) -> set[str]:
    """Returns which tables ran completely and without error in the last so many `seconds`. Raises `unavailable`."""
    tables = (await _read(database, 0.0)).tables
    return {table.table for table in tables if table.table in seconds and _is_current(table, seconds[table.table])}


async def _read(database: Database, longest_lag: float) -> SyncStatus:
    async with database.read() as connection:
        states = await repository.states(connection)
    moment = now()
    tables = [_table(table, states.get(table, {}), moment) for table in TABLES]
    return SyncStatus(all(_is_current(table, longest_lag) for table in tables), tables)


def _table(name: str, state: Mapping[str, Any], moment: datetime) -> TableStatus:
    last_run = state.get("last_run_at")
    lag = (moment - last_run).total_seconds() if last_run else None
    return TableStatus(
        name, state.get("row_count", 0), last_run, lag, state.get("last_error"), state.get("closed_rows", 0)
    )


def _is_current(table: TableStatus, longest_lag: float) -> bool:
    return table.last_error is None and table.lag_seconds is not None and table.lag_seconds < longest_lag


def unknown_status(error: str) -> SyncStatus:
    """Returns the status to publish while our own database is away."""
    return SyncStatus(False, [TableStatus(table, 0, None, None, error) for table in TABLES])


async def publish_status(redis: Redis, status: SyncStatus) -> None:
    """Shows the status to Prometheus and stores it in Redis for the edges. Raises `unavailable`."""
    for table in status.tables:
        SYNC_LAG.labels(table.table).set(float("nan") if table.lag_seconds is None else table.lag_seconds)
    with cache.redis_unavailable():
        await redis.set(cache.SYNC_STATUS, msgspec.json.encode(dump(status)), ex=cache.SYNC_STATUS_SECONDS)
