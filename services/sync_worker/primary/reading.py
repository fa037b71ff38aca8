"""Reads a table of the primary: pages, rows by key, what was written of late, and sums of its keys."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec

from services.sync_worker.primary import statements
from services.sync_worker.primary.connection import Primary
from services.sync_worker.tables.table import READING, Key, Shape, Table
from services.sync_worker.tables.values import Raw

LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}  # of a type
_WHOLE = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Group:
    """The rows that share one key, and the key as text: the position of a scan.

    `is_recent` if one of them may have been written since the floor that the page was asked with.
    """

    key: Key
    rows: Sequence[Raw]
    is_recent: bool = False


@dataclass(frozen=True, slots=True)
class Large:
    """The value of a large column, its MD5, and whether it is a Yjs state of which the text is meant."""

    value: str | None
    md5: str | None
    is_yjs: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the primary stands: `origin` names the server, its history, and the table's parts and columns.

    Whatever is committed later was written in the transaction `floor` or in a later one.
    """

    origin: str
    floor: int


@dataclass(frozen=True, slots=True)
class Sums:
    """How many rows a block of keys has, and the sum of their hashes modulo 2^64."""

    rows: int = 0
    hashes: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.rows + other.rows, (self.hashes + other.hashes) % 2**64)

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(self.rows - other.rows, (self.hashes - other.hashes) % 2**64)


class TableReader:
    """Reads one table of the primary; every method may raise `PrimaryAway`."""

    def __init__(self, primary: Primary, table: Table, moment: Moment | None, columns: Mapping[str, str]) -> None:
        self._primary = primary
        self.table = table
        self.moment = moment  # where the primary stood; None where its rows do not tell when they were written
        self.columns = columns

    @classmethod
    async def open(cls, primary: Primary, table: Table) -> "TableReader":
        """Looks at how the table is declared, after the moment: what is declared anew meanwhile is so to the next."""
        moment = await _moment(primary, table)
        return cls(primary, table, moment, await primary.columns(table.name))

    @property
    def shapes(self) -> Sequence[Shape]:
        """The shapes that the table's rows may have. Raises `MissingTable`."""
        return self.table.shapes_in(self.columns)

    async def page(self, shape: Shape, after: Key | None, floor: int | None = None) -> list[Group]:
        """Returns the next page of keys after `after` with their rows, in the primary's order."""
        statement = statements.page(self.table, shape, self.columns, self.table.page, floor, is_first=after is None)
        return _groups(await self._primary.fetch(statement, *(after or ())))

    async def find(self, shape: Shape, keys: Sequence[Key]) -> list[Group]:
        """Returns the rows of those `keys` that exist."""
        possible = [key for key in keys if self._may_be(shape, key)]
        if not possible:
            return []
        return _groups(await self._primary.fetch(statements.find(self.table, shape, self.columns), *_arrays(possible)))

    def _may_be(self, shape: Shape, key: Key) -> bool:
        """Returns whether the key's columns can hold these values; a statement fails for those that they cannot."""
        return all(_holds(self.columns[column], value) for column, value in zip(shape.key, key, strict=True))

    async def large_sizes(self, shape: Shape, keys: Sequence[Key]) -> dict[Key, tuple[int, bool]]:
        """Returns key → bytes of the large column, and whether it is a Yjs state, of those `keys` that exist."""
        rows = await self._primary.fetch(statements.large_sizes(self.table, shape, self.columns), *_arrays(keys))
        return {tuple(row["key"]): (row["bytes"], row["is_yjs"]) for row in rows}

    def has_large(self, shape: Shape) -> bool:
        """Returns whether rows of this shape have a large value."""
        return self.table.large in self.columns or shape.yjs in self.columns

    async def large(self, shape: Shape, keys: Sequence[Key]) -> list[tuple[Key, Large]]:
        """Returns the key and the large value of each row of those `keys`."""
        rows = await self._primary.fetch(statements.large(self.table, shape, self.columns), *_arrays(keys))
        return [(tuple(row["key"]), Large(row["value"], row["md5"], row["is_yjs"])) for row in rows]

    async def piece(self, shape: Shape, key: Key, md5: str, first: int, length: int) -> bytes | None:
        """Returns `length` bytes of the large column from the `first` on, which is 1; None where its MD5 is another."""
        statement = statements.piece(self.table, shape, self.columns)
        rows = await self._primary.fetch(statement, *_arrays([key]), md5, first, length)
        return rows[0]["piece"] if rows else None

    async def changed_keys(self, shape: Shape, floor: int, limit: int) -> list[Key]:
        """Returns keys of rows written in or after the transaction `floor`, `limit` at most; some may be older."""
        rows = await self._primary.fetch(statements.changed_keys(self.table, shape, self.columns, floor, limit))
        return [tuple(row["key"]) for row in rows]

    async def hash_of_probe(self) -> int:
        return await self._primary.hash_of_probe()

    async def sums(self, shape: Shape, blocks: int) -> dict[int, Sums]:
        """Returns block → its sums, of the rows of this shape; there are so many `blocks`."""
        return read_sums(await self._primary.fetch(statements.sums(self.table, shape, self.columns, blocks)))

    async def keys_in_blocks(self, shape: Shape, blocks: int, some: Sequence[int]) -> list[Key]:
        """Returns the keys of some of so many `blocks`, of the rows of this shape."""
        statement = statements.keys_in_blocks(self.table, shape, self.columns, blocks)
        rows = await self._primary.fetch(statement, list(some))
        return [tuple(row["key"]) for row in rows]


async def _moment(primary: Primary, table: Table) -> Moment | None:
    [row] = await primary.fetch(
        """WITH RECURSIVE part AS (
             SELECT to_regclass($1)::oid AS oid
             UNION SELECT inhrelid FROM pg_inherits JOIN part ON inhparent = part.oid
           )
           SELECT string_agg(oid::text, ' ' ORDER BY oid) AS parts, bool_and(relkind IN ('r', 'p')) AS tells,
                  pg_snapshot_xmin(pg_current_snapshot())::text AS floor,
                  (SELECT string_agg(concat_ws(' ', attname, attnum, format_type(atttypid, atttypmod)), ', '
                                     ORDER BY attnum)
                   FROM pg_attribute
                   WHERE attrelid = to_regclass($1) AND attname = ANY($2) AND NOT attisdropped) AS declared
           FROM part JOIN pg_class USING (oid)""",
        table.name,
        sorted(table.read_columns),
    )
    if not row["tells"]:  # a view, a table of elsewhere, or none
        return None
    origin = [await primary.history(), row["parts"], f"reading {READING}", row["declared"]]
    return Moment(", ".join(origin), int(row["floor"]))


def read_sums(rows: Iterable[Any]) -> dict[int, Sums]:
    """Returns block → its sums, of the rows that `statements.SUMS` gives here or there."""
    return {row["block"]: Sums(row["rows"], int(row["hashes"]) % 2**64) for row in rows}


def _holds(kind: str, value: str) -> bool:
    largest = LARGEST.get(kind)
    return largest is None or (bool(_WHOLE.fullmatch(value)) and abs(int(value)) <= largest)


def _arrays(keys: Sequence[Key]) -> list[list[str]]:
    return [list(values) for values in zip(*keys, strict=True)]


def _groups(rows: Iterable[asyncpg.Record]) -> list[Group]:
    return [Group(tuple(row["key"]), msgspec.json.decode(row["rows"]), row["recent"]) for row in rows]
