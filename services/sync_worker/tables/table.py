"""A replicated table: the shapes of its rows at the primary, and how a row becomes our record.

The primary's deployments differ. Documents and permissions come named by id or by owner and permlink,
perhaps both in one table; columns are missing here and there. A `Shape` says how rows of one kind are
named and read; a pass walks through every shape that the primary's columns allow.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from libs.common.contracts.content import PermissionChanged
from libs.common.contracts.registry import Event
from libs.common.db.models.base import Base
from libs.common.errors import PresenceError
from libs.common.spaces import SpaceKey
from services.sync_worker.tables.values import BadRow, Raw

type Key = tuple[str, ...]
type Record = dict[str, Any]  # the replica's columns, as they shall be
type Row = Mapping[str, Any]  # the replica's columns, as they are


LONGEST_WORD = 200  # characters
READING = 1  # to be raised when a row comes to mean something else: every table is then read anew


@dataclass(frozen=True)
class Shape:
    """One way in which a table's rows are named at the primary.

    `key` names the columns that identify a row; rows where one is null are not of this shape, nor are
    rows where all of `unless` are set. A table has rows of this shape if it has the columns of `key` and `marks`.
    `read` gives the replica's record, or None for a row that grants nothing; it raises `BadRow`. `names` are the
    columns of which each part of the replica's key is made, joined by slashes; `locate` turns a replica's key into
    `key`'s values, or None if the replica's row did not come from this shape.

    `access` are columns that decide about access: no table is read without them, unless an operator says that this
    primary has none. `later_access` are such columns that not every primary has; once seen they are needed as well.
    `yjs` is a column with a Yjs state: where it holds one, its text is the table's `large` column.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    read: Callable[[Raw], Record | None]
    names: tuple[tuple[str, ...], ...]
    locate: Callable[[Key], Key | None]
    access: tuple[str, ...]
    later_access: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    yjs: str | None = None

    @property
    def identifying(self) -> tuple[str, ...]:
        return (*self.key, *self.marks)

    def named(self, key: Key) -> Key:
        """Returns the replica's key of a row, of the values of `key`."""
        values = dict(zip(self.key, key, strict=True))
        return tuple("/".join(values[column] for column in columns) for columns in self.names)


@dataclass(frozen=True)
class Table:
    """A replicated table. `key` are the replica's key columns, `watched` those that decide about access.

    `openness` says how much a row lets people do, a number for each thing; none may fall unnoticed. `lets_in` are
    columns that name whom a row lets in: any other value of one takes that from somebody.
    `space_of` names the space that a row is about, by its key. `closed` are the values that shut a row to others: rows
    that vanish in suspicious number stay, closed, until that is confirmed. Without it rows that vanish go at once.
    `events` are what the log may be told of a row that changed: `change_of` makes the payload of one of them from the
    row's key and its columns `told` before and after, None for no row, or returns None if nobody needs to know.
    `large` is a column that may hold megabytes: it is read only of rows that changed, and `row_hash` has its MD5.
    """

    name: str
    model: type[Base]
    key: tuple[str, ...]
    shapes: tuple[Shape, ...]
    watched: tuple[str, ...]
    openness: Callable[[Mapping[str, Any]], tuple[int, ...]]
    space_of: Callable[[Key], SpaceKey]
    events: tuple[Event[Any], ...]
    told: tuple[str, ...]
    change_of: Callable[[Key, Row | None, Row | None], Any]
    lets_in: tuple[str, ...] = ()
    closed: Mapping[str, Any] | None = None
    optional: bool = False  # a primary without this table is in order
    large: str | None = None
    decides_access: bool = True  # who may enter; a short clock is for these
    page: int = 500  # rows

    @property
    def read_columns(self) -> frozenset[str]:
        """The primary's columns that are read, of all shapes."""
        return frozenset(name for shape in self.shapes for name in (*shape.identifying, *shape.columns))

    def key_of(self, row: Mapping[str, Any]) -> Key:
        return tuple(row[column] for column in self.key)

    def shapes_in(self, columns: Iterable[str]) -> tuple[Shape, ...]:
        """Returns the shapes that a table with these columns can hold. Raises `MissingTable`."""
        present = frozenset(columns)
        shapes = tuple(shape for shape in self.shapes if present.issuperset(shape.identifying))
        if not shapes and (present or not self.optional):
            needed = " or ".join(f"({', '.join(shape.identifying)})" for shape in self.shapes)
            raise MissingTable(f"the primary has no table {self.name} with {needed}")
        return shapes

    def read(self, shape: Shape, rows: Sequence[Raw]) -> Record | None:
        """Returns, of the rows that share one key, the record that opens most. Raises `BadRow` if none can be read."""
        records, bad = [], None
        for row in rows:
            try:
                records.append(shape.read(row))
            except BadRow as error:
                bad = error
        granting = [record for record in records if record is not None]
        if granting:
            return max(granting, key=self._strength) if len(granting) > 1 else granting[0]
        if bad:
            raise bad
        return None

    def _strength(self, record: Record) -> tuple[tuple[int, ...], str]:
        return self.openness(record), digest(record)


class MissingTable(Exception):
    """The primary lacks what cannot be done without."""


def digest(record: Record) -> str:
    """Returns the `row_hash`: equal for equal records, whatever the primary's types."""
    encoded = msgspec.json.encode(record, order="deterministic")
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()


def require_space(space_type: str, space_id: str) -> None:
    try:
        SpaceKey.parse(space_type, space_id)
    except PresenceError as error:
        raise BadRow(f"no {space_type[:20]} space can be called {space_id[:80]!r}") from error


def permission_change(table: str) -> Callable[[Key, Row | None, Row | None], PermissionChanged | None]:
    """Returns what tells of a row of a table of permissions: the key ends with the account."""

    def change(key: Key, old: Row | None, new: Row | None) -> PermissionChanged | None:
        return None if old == new else PermissionChanged(key[-1], new["permission"] if new else None, table)

    return change
