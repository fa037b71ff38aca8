"""Proves by a pass over everything, spread over a day, that cycles miss nothing: it finds 0 rows, or says how many.

It reads the primary's rows first and then looks up the replica's. What differs and was not written of late was missed,
and is mended on the way; blocks where the primary lacks a row are left to the next cycle, which deletes.
"""

import math
from collections.abc import Collection
from datetime import timedelta

import msgspec
import structlog

from libs.common.clock import now
from libs.common.db.event_log import FactLog
from services.sync_worker.primary.reading import TableReader
from services.sync_worker.replication import position, repository
from services.sync_worker.replication.blocks import Blocks
from services.sync_worker.replication.position import Position, Progress
from services.sync_worker.replication.table_pass import Pass
from services.sync_worker.tables.table import Key

_log = structlog.get_logger(__name__)
EVERY = timedelta(days=1)
LOOK_UP = "look up"  # the part of a proof that asks for the replica's rows; else the name of a shape


class Proof:
    """The proof of one table. `interval` is the time between two cycles, in seconds."""

    def __init__(self, reader: TableReader, log: FactLog, interval: float) -> None:
        self._reader = reader
        self._table = reader.table
        self._log = log
        self._database = log.database
        self._interval = interval

    async def go_on(self, *, whole: bool = False) -> int:
        """Walks so far that all is proved within a day, or through the `whole` table; returns how much was missed.

        Call it when a cycle is complete: what was written before that cycle, and is not as it should be, was missed.
        """
        async with self._database.read() as connection:
            last, progress = await position.load(connection, self._table.name)
            rows = (await repository.guard_state(connection, self._table.name)).rows
        if last is None:
            return 0
        if progress is None or not progress.proof or progress.origin != last.origin or whole:
            if not whole and last.proved_at and now() < last.proved_at + EVERY:
                return 0
            progress = Progress(now(), last.origin, last.floor, proof=True)
        missed = await self._walk(last, progress, math.inf if whole else self._share(rows))
        if missed:
            _log.error("a proof found what cycles had missed", table=self._table.name, rows=missed)
        return missed

    def _share(self, rows: int) -> int:
        """Returns how many pages a cycle proves of so many rows, each of which is read and looked up."""
        return math.ceil(2 * rows / self._table.page * self._interval / EVERY.total_seconds()) + 1

    async def _walk(self, last: Position, progress: Progress, pages: float) -> int:
        missed = 0
        if progress.shape != LOOK_UP:
            table_pass = Pass(self._reader, self._log, progress, recent=last.floor)
            is_read = await table_pass.run(pages)
            if table_pass.progress.changed != progress.changed:
                last.there = ""  # perhaps there are other rows now
            missed, progress = await self._unexplained(last, table_pass.missed), table_pass.progress
            if is_read:
                progress.shape, progress.after = LOOK_UP, None
        is_done = progress.shape == LOOK_UP and await self._look_up(last, progress, pages)
        last.missed += missed
        if is_done:
            last.proved_at, last.skipped = progress.started_at, progress.skipped
        async with self._database.transaction() as connection:
            watermark = None if is_done else msgspec.to_builtins(progress)
            await repository.save_positions(connection, self._table.name, msgspec.to_builtins(last), watermark)
        position.show(self._table.name, last)
        return missed

    async def _unexplained(self, last: Position, keys: Collection[Key]) -> int:
        """Returns how many of `keys` no later change explains; of rows that share one some may have gone."""
        if not keys:
            return 0
        comparison = await Blocks(self._reader, self._log, last.blocks).compare()
        async with self._database.read() as connection:
            blocks = comparison.unlike(last.residuals)
            explained = await repository.keys_in_blocks(connection, self._table, last.blocks, blocks)
        return len({*keys}.difference(explained))

    async def _look_up(self, last: Position, progress: Progress, pages: float) -> bool:
        """Looks up the replica's next rows at the primary; returns whether that was all of them."""
        blocks = Blocks(self._reader, self._log, last.blocks)
        suspects = {*last.suspects}
        while pages > 0:
            pages -= 1
            keys, missing = await blocks.look_up(tuple(progress.after) if progress.after else None)
            if not keys:
                last.suspects = sorted(suspects)
                return True
            if missing:
                async with self._database.read() as connection:
                    suspects.update(await repository.blocks_of(connection, self._table, last.blocks, missing))
            progress.after = list(keys[-1])
        last.suspects = sorted(suspects)
        return False
