"""Brings one table up to date: by what was written since the last cycle where the primary can tell, else by a pass.

What the primary tells is its rows' `xmin`, the transaction that wrote them, against a floor that was taken before the
last read: so a transaction that commits late is not passed over. Deletes are found by blocks of keys (`blocks.py`).
A pass over everything, spread over a day, proves that nothing was missed (`proof.py`).
"""

from dataclasses import dataclass, replace
from itertools import batched

from libs.common.clock import now
from libs.common.db.event_log import FactLog
from services.sync_worker.primary.reading import Moment, TableReader
from services.sync_worker.replication import position
from services.sync_worker.replication.pages import PageWriter
from services.sync_worker.replication.position import Position, Progress
from services.sync_worker.replication.proof import Proof
from services.sync_worker.replication.reconciliation import Reconciliation, TooMuchDiffers
from services.sync_worker.replication.table_pass import Pass

MOST_CHANGED = 50_000  # rows of a shape; where more were written, the whole table is walked


@dataclass(frozen=True)
class Report:
    """What a cycle did to a table, in rows; `missed` were found by a proof and not by an earlier cycle."""

    read: int = 0
    changed: int = 0
    deleted: int = 0
    skipped: int = 0
    missed: int = 0


class TableSync:
    """Brings a table up to date. `interval` is the time between two cycles, in seconds."""

    def __init__(self, reader: TableReader, log: FactLog, guard_percent: float, interval: float) -> None:
        self._reader = reader
        self._table = reader.table
        self._log = log
        self._database = log.database
        self._reconciliation = Reconciliation(reader, log, guard_percent)
        self._proof = Proof(reader, log, interval)

    async def run(self, *, prove: bool = False) -> Report:
        """Brings the table up to date and goes on with the proof, or does the whole of it. Raises `TooManyDeletes`."""
        moment = self._reader.moment
        async with self._database.read() as connection:
            last, progress = await position.load(connection, self._table.name)
        if moment is None or last is None or not last.leads_to(moment):
            return await self._pass(moment, progress, last)
        try:
            report = await self._changes(last, moment, progress if progress and progress.proof else None)
        except TooMuchDiffers:
            return await self._pass(moment, progress, last)
        return replace(report, missed=await self._proof.go_on(whole=prove))

    async def _changes(self, last: Position, moment: Moment, proof: Progress | None) -> Report:
        """Writes what was written at the primary since the last cycle. Raises `TooMuchDiffers`."""
        as_of, read, changed, skipped, same_keys = now(), 0, 0, 0, True
        writer = PageWriter(self._reader, self._log)
        for shape in self._reader.shapes:
            keys = await self._reader.changed_keys(shape, last.floor, MOST_CHANGED + 1)
            if len(keys) > MOST_CHANGED:
                raise TooMuchDiffers
            for some in batched(keys, self._table.page):
                written = await writer.write(shape, await self._reader.find(shape, some))
                read, changed = read + written.read, changed + len(written.changed)
                skipped += written.skipped
                same_keys = same_keys and written.same_keys
        last.floor, last.skipped = moment.floor, last.skipped + skipped
        deleted = await self._reconciliation.run(last, as_of, proof, after_pass=False, same_keys=same_keys)
        return Report(read, changed, deleted, skipped)

    async def _pass(self, moment: Moment | None, begun: Progress | None, last: Position | None) -> Report:
        """Walks through the whole table, from where an earlier cycle has come to."""
        origin, floor = (moment.origin, moment.floor) if moment else ("", 0)
        if begun is None or begun.proof or begun.origin != origin:
            begun = Progress(now(), origin, floor)
        table_pass = Pass(self._reader, self._log, begun)
        await table_pass.run()
        done = table_pass.progress
        missed = last.missed if last else 0
        reached = Position(done.origin, done.floor, proved_at=done.started_at, skipped=done.skipped, missed=missed)
        deleted = await self._reconciliation.run(reached, done.started_at, None, after_pass=True)
        return Report(done.read, done.changed, deleted, done.skipped)
