"""Writes rows of the primary that differ into the replica, a page at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.event_log import FactLog
from services.sync_worker.primary.reading import Group, Large, TableReader
from services.sync_worker.replication import guard, repository, revocations
from services.sync_worker.replication.facts import telling
from services.sync_worker.tables.table import Key, Record, Shape, Table, digest
from services.sync_worker.tables.values import BadRow
from services.sync_worker.yjs import reader as yjs_reader
from services.sync_worker.yjs.reader import NotTried, YjsReader

_log = structlog.get_logger(__name__)
NAMED_BAD_ROWS = 5  # of a page, in the log
MOST_BYTES = 2**20  # of large columns, in memory at a time; what is larger by itself goes in pieces
TORN = "torn"  # the hash of a row without its large column, which the next proof or change brings: no record's
_REFUSALS = {"22", "23", "54"}  # classes of SQLSTATE: bad data, constraint, limit of the program


@dataclass
class Page:
    """A page of the primary as the replica's records, and the rows that could not be read."""

    records: dict[Key, Record] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)  # key → why
    unreadable: list[Key] = field(default_factory=list)  # the replica's keys of the same rows
    granting_nothing: list[Key] = field(default_factory=list)  # the replica's keys of rows that are no record


@dataclass(frozen=True, slots=True)
class Written:
    """What a page was: how many rows were read, had changed, could not be read, and the keys of those that changed.

    With the `same_keys` no row of the replica came or went.
    """

    read: int
    changed: frozenset[Key]
    skipped: int
    present: frozenset[Key]
    same_keys: bool


class Torn(Exception):
    """A value was written again while its pieces were read."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to write together; of a single one the large column may come in `pieces`."""

    rows: Mapping[Key, Record]
    pieces: AsyncIterator[bytes] | None = None


class PageWriter:
    """Writes pages of one table."""

    def __init__(self, reader: TableReader, log: FactLog) -> None:
        self._reader = reader
        self._table = reader.table
        self._log = log

    async def write(
        self,
        shape: Shape,
        groups: Sequence[Group],
        save: Callable[[AsyncConnection, Written], Awaitable[None]] | None = None,
    ) -> Written:
        """Writes the records that differ, and takes away what rows opened that now open less or cannot be read.

        `save` is called with what was written, in the same transaction, which also tells the log of it.
        """
        table, page = self._table, understand(self._table, shape, groups)
        async with self._log.transaction() as transaction, YjsReader() as yjs:
            connection = transaction.connection
            known = await repository.known(connection, table, list(page.records))
            changed = _that_differ(page, known)
            async with telling(transaction, table, [*changed, *page.unreadable, *page.granting_nothing]):
                async for rows in self._batches(shape, groups, changed, yjs):
                    for key, reason in (await _upsert(connection, table, rows)).items():
                        page.bad["/".join(key)[:120]] = reason
                        page.unreadable.append(key)
                        del page.records[key], changed[key]
                lost = [key for key, row in changed.items() if revocations.loses_access(table, known.get(key), row)]
                await revocations.remember(connection, [table.space_of(key) for key in lost])
                await guard.shut(connection, table, page.unreadable)
                await guard.drop(connection, table, page.granting_nothing)
            read = sum(len(group.rows) for group in groups)
            same_keys = known.keys() >= page.records.keys() and not page.unreadable and not page.granting_nothing
            written = Written(read, frozenset(changed), len(page.bad), frozenset(page.records), same_keys)
            if save:
                await save(connection, written)
        if page.bad:
            named = dict(list(page.bad.items())[:NAMED_BAD_ROWS])
            _log.warning("rows skipped", table=table.name, count=len(page.bad), rows=named)
        return written

    async def _batches(
        self, shape: Shape, groups: Sequence[Group], changed: dict[Key, Record], yjs: YjsReader
    ) -> AsyncIterator[Batch]:
        """Yields the changed rows, whole, so many at a time as fit into memory; rows that are gone by now go."""
        if not changed or not self._reader.has_large(shape):
            yield Batch(changed)
            return
        there = {shape.named(group.key): group.key for group in groups}
        sizes = await self._reader.large_sizes(shape, [there[key] for key in changed])
        batch: list[Key] = []
        space = MOST_BYTES
        for key in list(changed):
            size, is_yjs = sizes.get(there[key], (0, False))
            if is_yjs and size > yjs_reader.MOST_BYTES:
                _log.warning(yjs_reader.NOT_READ, document="/".join(key), reason=f"it has {size:,} bytes")
                yield Batch({key: {**changed[key], self._table.large or "": None}})
                continue
            if is_yjs and size > MOST_BYTES:  # of which no piece can be read by itself
                yield Batch(await self._whole(shape, there, changed, [key], yjs))
                continue
            if size > MOST_BYTES:
                yield self._in_pieces(shape, there[key], key, changed[key])
                continue
            if size > space:
                yield Batch(await self._whole(shape, there, changed, batch, yjs))
                batch, space = [], MOST_BYTES
            batch.append(key)
            space -= size
        if batch:
            yield Batch(await self._whole(shape, there, changed, batch, yjs))

    def _in_pieces(self, shape: Shape, there: Key, key: Key, record: Record) -> Batch:
        column = self._table.large or ""

        async def pieces() -> AsyncIterator[bytes]:
            first, piece = 1, bytes(MOST_BYTES)
            while len(piece) == MOST_BYTES:
                found = await self._reader.piece(shape, there, record[column], first, MOST_BYTES)
                if found is None:
                    raise Torn
                yield (piece := found)
                first += MOST_BYTES

        return Batch({key: {**record, column: None}}, pieces())

    async def _whole(
        self,
        shape: Shape,
        there: Mapping[Key, Key],
        changed: dict[Key, Record],
        keys: Sequence[Key],
        yjs: YjsReader,
    ) -> dict[Key, Record]:
        """Returns the rows of `keys` with the value of their large column, of which the record has the MD5."""
        column = self._table.large or ""
        values: dict[Key, dict[str | None, Large]] = {}
        for key, large in await self._reader.large(shape, [there[key] for key in keys]):
            values.setdefault(key, {})[large.md5] = large
        rows = {}
        for key in keys:
            found = values.get(there[key])
            if found is None:
                del changed[key]
                continue
            record = {name: value for name, value in changed[key].items() if name != "row_hash"}
            if record[column] not in found:  # it was written again meanwhile
                record[column] = next(iter(found))
            changed[key] = {**record, "row_hash": digest(record)}  # without the value: all of them do not fit
            try:
                rows[key] = {**changed[key], column: await _text(yjs, key, found[record[column]])}
            except NotTried:
                rows[key] = {**changed[key], column: None, "row_hash": TORN}
        return rows


async def _text(yjs: YjsReader, key: Key, large: Large) -> str | None:
    return await yjs.text(large.value or "", "/".join(key)) if large.is_yjs else large.value


def understand(table: Table, shape: Shape, groups: Sequence[Group]) -> Page:
    """Returns the records of a page's rows, and the reason for each that could not be read."""
    page = Page()
    for group in groups:
        try:
            record = table.read(shape, group.rows)
        except BadRow as error:
            page.bad["/".join(group.key)[:120]] = str(error)
            page.unreadable.append(shape.named(group.key))
            continue
        if record:
            page.records[table.key_of(record)] = record
        else:
            page.granting_nothing.append(shape.named(group.key))
    return page


def _that_differ(page: Page, known: Mapping[Key, Mapping[str, Any]]) -> dict[Key, Record]:
    """Returns the records that are not in the replica as they are, each with its hash."""
    hashed = {key: {**record, "row_hash": digest(record)} for key, record in page.records.items()}
    return {key: row for key, row in hashed.items() if key not in known or known[key]["row_hash"] != row["row_hash"]}


async def _upsert(connection: AsyncConnection, table: Table, batch: Batch) -> dict[Key, str]:
    """Writes all rows at once or, if the replica refuses that, one by one; returns the refused ones with reasons."""
    if not batch.rows:
        return {}
    try:
        reason = await _accepted(connection, table, batch)
    except Torn:  # the next cycle reads it, for it was written after this one began
        rows = {key: {**row, "row_hash": TORN} for key, row in batch.rows.items()}
        reason = await _accepted(connection, table, Batch(rows))
    if reason is None:
        return {}
    if len(batch.rows) == 1:
        return dict.fromkeys(batch.rows, reason)
    each = {key: await _accepted(connection, table, Batch({key: row})) for key, row in batch.rows.items()}
    return {key: reason for key, reason in each.items() if reason}


async def _accepted(connection: AsyncConnection, table: Table, batch: Batch) -> str | None:
    """Upserts under a savepoint; returns why the replica refused, or None. Raises where the replica is away; `Torn`."""
    try:
        async with connection.begin_nested():
            await repository.upsert(connection, table, list(batch.rows.values()))
            if batch.pieces:
                await repository.fill(connection, table, next(iter(batch.rows)), batch.pieces)
    except DBAPIError as error:
        if (getattr(error.orig, "sqlstate", None) or "")[:2] not in _REFUSALS:
            raise
        return str(error.orig)[:200]
    return None
