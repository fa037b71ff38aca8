"""Deletes rows of the replica that the primary no longer has, and marks the table as up to date."""

from dataclasses import replace
from datetime import datetime
from itertools import batched
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from libs.common.db.engine import Database
from services.sync_worker.primary.reading import TableReader
from services.sync_worker.replication import guard, repository
from services.sync_worker.replication.blocks import MOST_EXAMINED, Blocks, Comparison
from services.sync_worker.replication.position import Position, Progress, as_residuals, show

if TYPE_CHECKING:
    from services.sync_worker.tables.table import Key

_log = structlog.get_logger(__name__)


class TooMuchDiffers(Exception):
    """More of the primary has changed than is read row by row."""


class Reconciliation:
    """Compares the two sides of one table once what was written is written."""

    def __init__(self, reader: TableReader, database: Database, guard_percent: float) -> None:
        self._table = reader.table
        self._database = database
        self._blocks = Blocks(reader, database)
        self._guard_percent = guard_percent

    async def run(self, position: Position, as_of: datetime, proof: Progress | None, *, after_pass: bool) -> int:
        """Deletes what the primary lacks and saves `position` and the `proof` under way; returns how many went.

        Raises `TooManyDeletes`, and then the rows are closed and none is deleted; `TooMuchDiffers`, unless a pass has
        just read everything.
        """
        comparison = await self._blocks.compare(position.suspects)
        blocks = comparison.unlike(position.residuals)
        missing: list[Key] = []
        if comparison.size(blocks) <= MOST_EXAMINED and await self._blocks.are_alike():
            missing = await self._examine(comparison, blocks, position)
        elif after_pass:
            missing = await self._blocks.missing()
        else:
            raise TooMuchDiffers
        await guard.check(self._database, self._table, missing, comparison.rows, self._guard_percent)
        for keys in batched(missing, self._table.page):
            async with self._database.transaction() as connection:
                await guard.drop(connection, self._table, keys)
        if blocks:
            comparison = replace(comparison, here=await self._blocks.here())
        position.residuals, position.suspects = as_residuals(comparison.residuals), []
        watermark: Any = msgspec.to_builtins(proof) if proof else None
        async with self._database.transaction() as connection:
            stored = msgspec.to_builtins(position)
            await repository.complete(connection, self._table.name, comparison.rows, as_of, stored, watermark)
        show(self._table.name, position)
        return len(missing)

    async def _examine(self, comparison: Comparison, blocks: list[int], position: Position) -> "list[Key]":
        if not blocks:
            return []
        missing = await self._blocks.examine(blocks)
        unnoticed = {*position.suspects} - {*replace(comparison, suspects=()).unlike(position.residuals)}
        if unnoticed and missing:
            async with self._database.read() as connection:
                found = await repository.keys_in_blocks(connection, self._table, sorted(unnoticed))
            missed = len({*missing} & {*found})
            position.missed += missed
            if missed:
                _log.error("a proof found what cycles had missed", table=self._table.name, rows=missed)
        return missing
