"""Deletes rows of the replica that the primary no longer has, and marks the table as up to date."""

from dataclasses import replace
from datetime import datetime
from itertools import batched
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from libs.common.db.event_log import FactLog
from services.sync_worker.primary.reading import TableReader
from services.sync_worker.replication import guard, repository
from services.sync_worker.replication.blocks import MOST_EXAMINED, Blocks, Comparison, so_many
from services.sync_worker.replication.facts import telling
from services.sync_worker.replication.position import Position, Progress, as_residuals, digest_of, show

if TYPE_CHECKING:
    from services.sync_worker.tables.table import Key

_log = structlog.get_logger(__name__)


class TooMuchDiffers(Exception):
    """More of the primary has changed than is read row by row."""


class Reconciliation:
    """Compares the two sides of one table once what was written is written."""

    def __init__(self, reader: TableReader, log: FactLog, guard_percent: float) -> None:
        self._reader = reader
        self._table = reader.table
        self._log = log
        self._database = log.database
        self._guard_percent = guard_percent

    async def run(
        self, position: Position, as_of: datetime, proof: Progress | None, *, after_pass: bool, same_keys: bool = False
    ) -> int:
        """Deletes what the primary lacks and saves `position` and the `proof` under way; returns how many went.

        With the `same_keys` here as at the end of the last cycle, and the same there, nothing more is compared.
        Raises `TooManyDeletes`, and then the rows are closed and none is deleted; `TooMuchDiffers`, unless a pass has
        just read everything.
        """
        before = position.blocks
        sides = await self._sides(position)
        there = await sides.there()
        if same_keys and before == position.blocks and not position.suspects and position.there == digest_of(there):
            await self._complete(position, as_of, proof, None)
            return 0
        comparison = Comparison(there, await sides.here(), position.suspects)
        missing, comparison = await self._compared(sides, comparison, position, before == sides.count, after_pass)
        position.residuals, position.suspects = as_residuals(comparison.residuals), []
        position.there = digest_of(there)
        await self._complete(position, as_of, proof, comparison.rows)
        return missing

    async def _compared(
        self, sides: Blocks, comparison: Comparison, position: Position, is_divided_alike: bool, after_pass: bool
    ) -> tuple[int, Comparison]:
        """Deletes what the primary lacks; returns how many rows that were, and the comparison as it is then."""
        blocks = comparison.unlike(position.residuals)
        missing: list[Key] = []
        is_examined = comparison.size(blocks) <= MOST_EXAMINED and await sides.are_alike()
        if is_examined:
            alike = [block for block in blocks if is_divided_alike and self._was_alike(block, position)]
            missing = await sides.lone(comparison, alike)
            blocks = sorted({*blocks} - sides.explained())
            missing += await sides.examine(sorted({*alike}.intersection(blocks)), whole=False)
            missing += await self._examine(sides, comparison, sorted({*blocks}.difference(alike)), position)
        elif after_pass:
            missing = await sides.missing()
        else:
            raise TooMuchDiffers
        await guard.check(self._log, self._table, missing, comparison.rows, self._guard_percent)
        for keys in batched(missing, self._table.page):
            async with self._log.transaction() as transaction, telling(transaction, self._table, keys):
                await guard.drop(transaction.connection, self._table, keys)
        if is_examined:
            return len(missing), await sides.after_examining(comparison, blocks)
        return len(missing), replace(comparison, here=await sides.here())

    async def _complete(self, position: Position, as_of: datetime, proof: Progress | None, rows: int | None) -> None:
        """Saves where the table stands; it has so many `rows`, or as many as before."""
        watermark: Any = msgspec.to_builtins(proof) if proof else None
        async with self._database.transaction() as connection:
            if rows is None:
                rows = (await repository.guard_state(connection, self._table.name)).rows
            stored = msgspec.to_builtins(position)
            await repository.complete(connection, self._table.name, rows, as_of, stored, watermark)
        show(self._table.name, position)

    async def _sides(self, position: Position) -> Blocks:
        """Returns the table's blocks: as many as before, unless it has become much larger or smaller."""
        async with self._database.read() as connection:
            rows = (await repository.guard_state(connection, self._table.name)).rows
            if not position.blocks:  # after a pass: the state does not know of it yet
                rows = await repository.count(connection, self._table)
        blocks = so_many(rows)
        if not blocks // 2 <= position.blocks <= 2 * blocks:
            position.blocks, position.residuals, position.suspects = blocks, {}, []
        return Blocks(self._reader, self._log, position.blocks)

    @staticmethod
    def _was_alike(block: int, position: Position) -> bool:
        """Returns whether both sides had the same rows of a block, each key once."""
        return str(block) not in position.residuals and block not in position.suspects

    async def _examine(
        self, sides: Blocks, comparison: Comparison, blocks: list[int], position: Position
    ) -> "list[Key]":
        missing = await sides.examine(blocks, whole=True)
        unnoticed = {*position.suspects} - {*replace(comparison, suspects=()).unlike(position.residuals)}
        if unnoticed and missing:
            async with self._database.read() as connection:
                found = await repository.keys_in_blocks(connection, self._table, position.blocks, sorted(unnoticed))
            missed = len({*missing} & {*found})
            position.missed += missed
            if missed:
                _log.error("a proof found what cycles had missed", table=self._table.name, rows=missed)
        return missing
