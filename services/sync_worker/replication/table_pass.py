"""Walks a table of the primary page by page and writes the rows that differ.

A page's rows and the position behind it are committed together, so a worker that is killed goes on
where it was, and a page that comes twice changes nothing. The scan is complete every time because the
primary has no reliable time of change: late commits and rewritten rows would slip past one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.db.engine import Database
from services.sync_worker.primary.reading import Group, Primary
from services.sync_worker.replication import guard, repository, revocations
from services.sync_worker.tables.table import Key, Record, Shape, Table, digest
from services.sync_worker.tables.values import BadRow

_log = structlog.get_logger(__name__)
NAMED_BAD_ROWS = 5  # of a page, in the log
_REFUSALS = {"22", "23", "54"}  # classes of SQLSTATE: bad data, constraint, limit of the program


class Progress(msgspec.Struct):
    """The watermark: the last key of the last page, and what the pass has met so far.

    `seen` counts the rows that the replica has because of this pass, changed or not.
    """

    started_at: datetime
    shape: str = ""
    after: list[str] | None = None
    read: int = 0
    seen: int = 0
    changed: int = 0
    skipped: int = 0


@dataclass
class _Page:
    """A page of the primary as the replica's records, and the rows that could not be read."""

    records: dict[Key, Record] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)  # key → why
    unreadable: list[Key] = field(default_factory=list)  # the replica's keys of the same rows


class Pass:
    """A pass over one table, from its start or from the position where an earlier one ended."""

    def __init__(self, table: Table, columns: Mapping[str, str], primary: Primary, database: Database) -> None:
        self.table = table
        self.columns = columns
        self.shapes = table.shapes_in(columns)
        self._primary = primary
        self._database = database
        self.progress = Progress(now())

    async def run(self) -> None:
        """Brings every row of the primary into the replica; `reconcile` deletes."""
        await self._load()
        for shape in self._shapes_left():
            if shape.name != self.progress.shape:
                self.progress.shape, self.progress.after = shape.name, None
            while await self._next_page(shape):
                pass

    async def _load(self) -> None:
        async with self._database.read() as connection:
            stored = await repository.watermark(connection, self.table.name)
        if stored:
            try:
                self.progress = msgspec.convert(stored, Progress)
            except msgspec.ValidationError:  # another version's; begin again
                return
            if self.progress.shape not in {shape.name for shape in self.shapes}:
                self.progress = Progress(now())

    def _shapes_left(self) -> Sequence[Shape]:
        names = [shape.name for shape in self.shapes]
        return self.shapes[names.index(self.progress.shape) :] if self.progress.shape else self.shapes

    async def _next_page(self, shape: Shape) -> bool:
        """Stores one page; returns whether there may be more of this shape."""
        after = tuple(self.progress.after) if self.progress.after else None
        groups = await self._primary.page(self.table.name, shape, self.columns, after, self.table.page)
        if groups:
            await self._store(shape, groups)
        return len(groups) == self.table.page

    async def _store(self, shape: Shape, groups: Sequence[Group]) -> None:
        page = understand(self.table, shape, groups)
        before = self.progress
        progress = msgspec.structs.replace(before, shape=shape.name, after=list(groups[-1].key))
        async with self._database.transaction() as connection:
            changed = await _write_changes(connection, self.table, page)
            await guard.shut(connection, self.table, page.unreadable)
            progress.read += sum(len(group.rows) for group in groups)
            progress.seen += len(page.records)
            progress.changed += changed
            progress.skipped += len(page.bad)
            await repository.save_watermark(connection, self.table.name, msgspec.to_builtins(progress))
        self.progress = progress
        if page.bad:
            rows = dict(list(page.bad.items())[:NAMED_BAD_ROWS])
            _log.warning("rows skipped", table=self.table.name, count=len(page.bad), rows=rows)


def understand(table: Table, shape: Shape, groups: Sequence[Group]) -> _Page:
    """Returns the records of a page's rows, and the reason for each that could not be read."""
    page = _Page()
    for group in groups:
        try:
            record = table.read(shape, group.rows)
        except BadRow as error:
            page.bad["/".join(group.key)[:120]] = str(error)
            page.unreadable.append(shape.named(group.key))
            continue
        if record:
            page.records[table.key_of(record)] = record
    return page


async def _write_changes(connection: AsyncConnection, table: Table, page: _Page) -> int:
    """Writes the records that differ and remembers the spaces that lose access; returns how many differed."""
    known = await repository.known(connection, table, list(page.records))
    changed = {}
    for key, record in page.records.items():
        row_hash = digest(record)
        if key not in known or known[key]["row_hash"] != row_hash:
            changed[key] = {**record, "row_hash": row_hash}
    if not changed:
        return 0
    refused = await _upsert(connection, table, changed)
    for key, reason in refused.items():
        page.bad["/".join(key)[:120]] = reason
        page.unreadable.append(key)
        del page.records[key], changed[key]
    lost = [key for key, row in changed.items() if revocations.loses_access(table, known.get(key), row)]
    await revocations.remember(connection, [table.space_of(key) for key in lost])
    return len(changed)


async def _upsert(connection: AsyncConnection, table: Table, rows: Mapping[Key, Record]) -> dict[Key, str]:
    """Writes all rows at once or, if the replica refuses that, one by one; returns the refused ones with reasons."""
    if await _accepted(connection, table, list(rows.values())) is None:
        return {}
    refused = {}
    for key, row in rows.items():
        reason = await _accepted(connection, table, [row])
        if reason:
            refused[key] = reason
    return refused


async def _accepted(connection: AsyncConnection, table: Table, rows: Sequence[Any]) -> str | None:
    """Upserts under a savepoint; returns why the replica refused, or None. Raises where the replica is away."""
    try:
        async with connection.begin_nested():
            await repository.upsert(connection, table, rows)
    except DBAPIError as error:
        if (getattr(error.orig, "sqlstate", None) or "")[:2] not in _REFUSALS:
            raise
        return str(error.orig)[:200]
    return None
