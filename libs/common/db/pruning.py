"""Deletes rows whose time is over: in batches, each a transaction of its own, so that no lock is held for long."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import date, datetime
from typing import Any

import structlog
from rich.progress import TaskID
from sqlalchemy import ColumnElement, delete, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from libs.common import log
from libs.common.bars import bars
from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from libs.common.metrics import PRUNED

_log = structlog.get_logger(__name__)

type Moment = InstrumentedAttribute[Any]
type Delete = Callable[..., Awaitable[int]]  # (connection, limit=…) deletes at most so many rows; returns how many

BATCH = 5000
_shown: ContextVar[Callable[[str, int], object]] = ContextVar("shown", default=lambda _table, _rows: None)
_PLACE: ColumnElement[Any] = literal_column("ctid")  # where PostgreSQL keeps a row of a table without partitions


async def delete_older(database: Database, column: Moment, before: datetime | date) -> int:
    """Deletes every row whose `column`, a moment or a day, is earlier; returns how many it deleted."""
    table = column.class_

    async def delete_batch(connection: AsyncConnection, limit: int) -> int:
        old = select(_PLACE).select_from(table).where(column < before).limit(limit)
        return (await connection.execute(delete(table).where(_PLACE.in_(old)))).rowcount

    return await delete_all(database, table.__tablename__, delete_batch)


async def delete_all(database: Database, table: str, delete_batch: Delete) -> int:
    """Deletes batches until one is not full; returns how many rows of the table went."""
    total, deleted = 0, BATCH
    while deleted == BATCH:
        async with database.transaction() as connection:
            deleted = await delete_batch(connection, limit=BATCH)
        PRUNED.labels(table).inc(deleted)
        total += deleted
        _shown.get()(table, total)
    if total:
        _log.info("pruned", table=table, rows=total)
    return total


def prune_by_hand(service: str, url: str, prune: Callable[[Database], Awaitable[object]]) -> None:
    """Prunes now, as a command in the service's own environment; says of each table what went, once it has.

    It says so too when all is done, since there may be nothing to delete. On a terminal bars show what goes meanwhile;
    how much it will be is not counted before.
    """

    async def run() -> None:
        database = Database(url, service, 4)
        with bars() as progress:
            progress.add_task(service, total=None)
            tasks: dict[str, TaskID] = {}

            def show(table: str, rows: int) -> None:
                if table not in tasks:
                    tasks[table] = progress.add_task(table, total=None)
                progress.update(tasks[table], completed=rows)

            _shown.set(show)
            log.configure(service)  # within the bars, so that its lines stand above them
            try:
                await prune(database)
            finally:
                await database.stop()

    try:
        asyncio.run(run())
    except PresenceError as error:
        raise SystemExit(str(error)) from error
    print(f"{service}: what was over is gone.")
