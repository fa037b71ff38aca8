"""Refuses to read a table that lacks a column about access: its rows would open what the column closed.

What was seen once is required from then on, whether the column, the shape's key or the whole table is gone; the
replica's rows stay as they are until it is back. An operator may say what a primary does not have.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from libs.common.db.engine import Database
from services.sync_worker.replication import repository
from services.sync_worker.tables.table import MissingTable, Shape, Table

SETTING = "PRESENCE_SYNC_ABSENT_COLUMNS"
type Seen = Mapping[str, Sequence[str]]  # shape → columns


async def require_columns(database: Database, table: Table, columns: Iterable[str], absent: Collection[str]) -> None:
    """Returns if a table with these columns may be read, and remembers those about access. Raises `MissingTable`.

    `absent` has `table.column`, or `table`, for what this primary does not have.
    """
    present = frozenset(columns)
    async with database.transaction() as connection:
        seen = await repository.required_columns(connection, table.name)
        for shape in table.shapes:
            _require(table, shape, present, seen, absent)
        now_seen = _with_present(table, present, seen)
        if now_seen != seen:
            await repository.save_required_columns(connection, table.name, now_seen)


def _require(table: Table, shape: Shape, present: frozenset[str], seen: Seen, absent: Collection[str]) -> None:
    if not present and table.name in absent:
        return
    excused = {name.removeprefix(f"{table.name}.") for name in absent if name.startswith(f"{table.name}.")}
    gone = {*shape.identifying} - present
    if gone and (shape.name not in seen or gone & excused):
        return  # a table without rows of this shape
    missing = gone or {*shape.access, *seen.get(shape.name, ())} - present - excused
    if missing:
        raise MissingTable(_explained(table, missing, present))


def _explained(table: Table, gone: Collection[str], present: frozenset[str]) -> str:
    if not present:
        return (
            f"the primary's table {table.name} is gone; its rows stay here as they are until it is back. "
            f"If the primary has none any more: {SETTING}={table.name}"
        )
    names = sorted(gone)
    what = f"column {names[0]}" if len(names) == 1 else f"columns {', '.join(names)}"
    setting = ",".join(f"{table.name}.{name}" for name in names)
    return (
        f"the primary's {table.name} lacks the {what}, by which access is decided; until that is mended "
        f"its rows stay here as they are. If this primary never had it: {SETTING}={setting}"
    )


def _with_present(table: Table, present: frozenset[str], seen: Seen) -> dict[str, list[str]]:
    here = {
        shape.name: sorted({*seen.get(shape.name, ()), *(present & {*shape.access, *shape.later_access})})
        for shape in table.shapes
        if present.issuperset(shape.identifying)
    }
    return {**{name: list(columns) for name, columns in seen.items()}, **here}
