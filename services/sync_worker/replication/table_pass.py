"""Walks a table of the primary page by page and writes the rows that differ.

A page's rows and the position behind it are committed together, so a worker that is killed goes on
where it was, and a page that comes twice changes nothing. The next page is fetched while one is written.
"""

import asyncio
import contextlib
import math
from collections.abc import Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.event_log import FactLog
from services.sync_worker.primary.connection import PrimaryAway
from services.sync_worker.primary.reading import Group, TableReader
from services.sync_worker.replication import repository
from services.sync_worker.replication.pages import PageWriter, Written
from services.sync_worker.replication.position import Progress
from services.sync_worker.tables.table import Key, Shape


class Pass:
    """A pass over one table, from where `progress` stands."""

    def __init__(self, reader: TableReader, log: FactLog, progress: Progress, recent: int | None = None) -> None:
        self._reader = reader
        self._table = reader.table
        self._writer = PageWriter(reader, log)
        self._recent = recent
        self._pages_left = math.inf
        self.progress = progress
        self.missed: set[Key] = set()  # rows that differed and were written before the transaction `recent`

    async def run(self, most_pages: float = math.inf) -> bool:
        """Brings every row of the primary into the replica, or `most_pages` of them; returns whether all are done."""
        self._pages_left = most_pages
        shapes = self._reader.shapes
        names = [shape.name for shape in shapes]
        left = shapes[names.index(self.progress.shape) :] if self.progress.shape in names else shapes
        for shape in left:
            if shape.name != self.progress.shape:
                self.progress.shape, self.progress.after = shape.name, None
            if self._pages_left <= 0 or not await self._walk(shape):
                return False
        return True

    async def _walk(self, shape: Shape) -> bool:
        """Walks through the rows of one shape; returns whether all are done."""
        coming = self._ask(shape, tuple(self.progress.after) if self.progress.after else None)
        try:
            while True:
                groups = await coming
                self._pages_left -= 1
                is_last = len(groups) < self._table.page
                goes_on = not is_last and self._pages_left > 0
                if goes_on:
                    coming = self._ask(shape, groups[-1].key)
                if groups:
                    await self._store(shape, groups)
                if not goes_on:
                    return is_last
        finally:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, PrimaryAway):
                await coming

    def _ask(self, shape: Shape, after: Key | None) -> "asyncio.Task[list[Group]]":
        return asyncio.ensure_future(self._reader.page(shape, after, self._recent))

    async def _store(self, shape: Shape, groups: Sequence[Group]) -> None:
        before, recent = self.progress, {shape.named(group.key) for group in groups if group.is_recent}
        after = msgspec.structs.replace(before, shape=shape.name, after=list(groups[-1].key))

        async def save(connection: AsyncConnection, written: Written) -> None:
            after.read += written.read
            after.changed += len(written.changed)
            after.skipped += written.skipped
            await repository.save_watermark(connection, self._table.name, msgspec.to_builtins(after))

        written = await self._writer.write(shape, groups, save)
        self.progress = after
        if self._recent is not None:
            self.missed |= written.changed - recent
