"""All SQL of sync_worker on the replica."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, String, cast, delete, func, literal_column, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, OID, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.content import SyncState
from libs.common.ids import new_id
from services.sync_worker.primary import statements
from services.sync_worker.primary.reading import Sums, read_sums
from services.sync_worker.tables.table import Key, Record, Table

LONGEST_ERROR = 500  # characters
CLOSED = ""  # the hash of a row that is closed whatever it says: no record's
OWED_EPOCHS = "access_epochs"  # begins the name of rows of sync_state that are no table: epochs still to be raised
_IS_DEBT = SyncState.table_name.startswith(OWED_EPOCHS, autoescape=True)


async def known(connection: AsyncConnection, table: Table, keys: Sequence[Key]) -> dict[Key, Mapping[str, Any]]:
    """Returns the replica's rows of those keys: the hash, and the columns that decide about access."""
    if not keys:
        return {}
    columns = [_column(table, name) for name in (*table.key, *table.watched, "row_hash")]
    rows = await connection.execute(select(*columns).where(_among(table, keys)))
    return {table.key_of(row): row for row in map(dict, rows.mappings())}


async def told(connection: AsyncConnection, table: Table, keys: Sequence[Key]) -> dict[Key, Mapping[str, Any]]:
    """Returns the replica's rows of those keys: the columns that events tell of; of a large one, its MD5."""
    columns = [func.md5(_column(table, n)).label(n) if n == table.large else _column(table, n) for n in table.told]
    names = [_column(table, name) for name in table.key]
    rows = await connection.execute(select(*names, *columns).where(_among(table, keys)))
    return {table.key_of(row): row for row in map(dict, rows.mappings())}


async def was_copied(connection: AsyncConnection, table: Table) -> bool:
    """Returns whether the table was ever equal to the primary's."""
    statement = select(SyncState.last_run_at).where(SyncState.table_name == table.name)
    return (await connection.execute(statement)).scalar_one_or_none() is not None


async def upsert(connection: AsyncConnection, table: Table, rows: Sequence[Record]) -> None:
    """Inserts or overwrites rows; columns that `rows` do not name (titles) stay as they are.

    They go as one JSON text: a statement for all of them costs a third of one for each.
    """
    name, columns = table.name, [*rows[0]]
    overwrite = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in table.key)
    statement = (
        f"INSERT INTO {name} ({', '.join(columns)}) "  # noqa: S608  names are of the model
        f"SELECT {', '.join(columns)} FROM json_populate_recordset(NULL::{name}, CAST(:rows AS json)) "
        f"ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {overwrite}, synced_at = now()"
    )
    await connection.execute(text(statement), {"rows": msgspec.json.encode(rows).decode()})


async def fill(connection: AsyncConnection, table: Table, key: Key, pieces: AsyncIterator[bytes]) -> None:
    """Puts the large column of a row together of its `pieces`: in a large object, which is gone with the transaction.

    No table of ours could hold them meanwhile but for twice the writing, and these logins make no temporary ones.
    """
    number = (await connection.execute(text("SELECT lo_create(0)"))).scalar_one()
    at = 0
    async for piece in pieces:
        values = {"number": number, "at": at, "piece": piece}
        await connection.execute(text("SELECT lo_put(CAST(:number AS oid), :at, CAST(:piece AS bytea))"), values)
        at += len(piece)
    whole = func.convert_from(func.lo_get(cast(number, OID)), "UTF8")
    await connection.execute(update(table.model).where(_among(table, [key])).values({table.large or "": whole}))
    await connection.execute(text("SELECT lo_unlink(CAST(:number AS oid))"), {"number": number})


async def remove(connection: AsyncConnection, table: Table, keys: Sequence[Key]) -> list[Key]:
    """Deletes rows; returns the keys of those that were there."""
    return await _changed(connection, table, delete(table.model).where(_among(table, keys)))


async def close(connection: AsyncConnection, table: Table, keys: Sequence[Key]) -> list[Key]:
    """Closes rows; returns the keys of those that were not closed yet. The next record of a row is written over it."""
    statement = update(table.model).where(_among(table, keys), _column(table, "row_hash") != CLOSED)
    return await _changed(connection, table, statement.values({**(table.closed or {}), "row_hash": CLOSED}))


async def _changed(connection: AsyncConnection, table: Table, statement: Any) -> list[Key]:
    returned = await connection.execute(statement.returning(*(_column(table, name) for name in table.key)))
    return [tuple(row) for row in returned]


async def count(connection: AsyncConnection, table: Table) -> int:
    return (await connection.execute(select(func.count()).select_from(table.model))).scalar_one()


async def count_written(connection: AsyncConnection, table: Table, since: datetime) -> int:
    """Returns how many of the rows that are there were written since then; those closed meanwhile are not counted."""
    written = select(func.count()).select_from(table.model).where(_column(table, "synced_at") >= since)
    return (await connection.execute(written)).scalar_one()


async def clock(connection: AsyncConnection) -> datetime:
    moment: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return moment


async def keys_after(connection: AsyncConnection, table: Table, after: Key | None, limit: int) -> list[Key]:
    """Returns the replica's next keys after `after`, in its own order."""
    columns = [_column(table, name) for name in table.key]
    statement = select(*columns).order_by(*columns).limit(limit)
    if after:
        statement = statement.where(tuple_(*columns) > tuple_(*after))
    return [tuple(row) for row in await connection.execute(statement)]


async def sums(connection: AsyncConnection, table: Table, blocks: int) -> dict[int, Sums]:
    """Returns block → its sums, of the replica's rows."""
    keys = f"SELECT {_hashed(table)} AS h FROM {table.model.__tablename__}"  # noqa: S608
    statement = statements.SUMS.format(last=blocks - 1, keys=keys)
    return read_sums((await connection.execute(text(statement))).mappings())


async def sums_of(connection: AsyncConnection, table: Table, blocks: int, keys: Sequence[Key]) -> dict[int, Sums]:
    """Returns block → the sums of those of the keys that the replica has; costs by their number, not the table's."""
    hashed = literal_column(f"({_hashed(table)})", BigInteger)
    block = literal_column(f"(({_hashed(table)}) & {blocks - 1})", BigInteger)
    columns = block.label("block"), func.count().label("rows"), cast(func.sum(hashed), String).label("hashes")
    return read_sums((await connection.execute(select(*columns).where(_among(table, keys)).group_by(block))).mappings())


async def hash_of_probe(connection: AsyncConnection) -> int:
    """Returns what the replica's hash function makes of `statements.PROBE`."""
    return int((await connection.execute(select(literal_column(statements.PROBE, BigInteger)))).scalar_one())


async def keys_in_blocks(connection: AsyncConnection, table: Table, blocks: int, some: Sequence[int]) -> list[Key]:
    """Returns the replica's keys of some of so many blocks."""
    block = literal_column(f"({_hashed(table)}) & {blocks - 1}", BigInteger)
    statement = select(*(_column(table, name) for name in table.key)).where(
        block == func.any(cast(list(some), ARRAY(BigInteger)))
    )
    return [tuple(row) for row in await connection.execute(statement)]


async def keys_hashed(connection: AsyncConnection, table: Table, hashes: Sequence[int]) -> dict[Key, int]:
    """Returns the replica's keys that have one of these hashes, each with its own."""
    hashed = literal_column(f"({_hashed(table)})", BigInteger)
    columns = [_column(table, name) for name in table.key]
    statement = select(*columns, hashed).where(hashed == func.any(cast(list(hashes), ARRAY(BigInteger))))
    return {tuple(row)[:-1]: row[-1] for row in await connection.execute(statement)}


async def blocks_of(connection: AsyncConnection, table: Table, blocks: int, keys: Sequence[Key]) -> list[int]:
    """Returns in which of so many blocks those of the keys are that the replica has."""
    block = literal_column(f"({_hashed(table)}) & {blocks - 1}", BigInteger)
    return list((await connection.execute(select(block).distinct().where(_among(table, keys)))).scalars())


def _hashed(table: Table) -> str:
    return statements.HASH.format(
        key=" || E'\\n' || ".join(f"{table.model.__tablename__}.{name}" for name in table.key)
    )


def _column(table: Table, name: str) -> Any:
    return getattr(table.model, name)


def _among(table: Table, keys: Sequence[Key]) -> Any:
    """Returns the condition for rows of those keys; one parameter a column, however many there are."""
    given = func.unnest(*(cast(list(values), ARRAY(String)) for values in zip(*keys, strict=True)))
    rows = given.table_valued(*table.key).render_derived()
    return tuple_(*(_column(table, name) for name in table.key)).in_(select(*(rows.c[name] for name in table.key)))


async def positions(connection: AsyncConnection, table: str) -> tuple[Any, Any]:
    """Returns the position of the table's replication and that of its pass under way; None for what there is not."""
    statement = select(SyncState.position, SyncState.watermark).where(SyncState.table_name == table)
    row = (await connection.execute(statement)).one_or_none()
    return tuple(row) if row else (None, None)


async def save_watermark(connection: AsyncConnection, table: str, position: Mapping[str, Any] | None) -> None:
    await _save_state(connection, table, watermark=position)


async def save_positions(connection: AsyncConnection, table: str, position: Any, watermark: Any) -> None:
    await _save_state(connection, table, position=position, watermark=watermark)


async def complete(
    connection: AsyncConnection, table: str, rows: int, as_of: datetime, position: Any, watermark: Any
) -> None:
    """Records that the table equals the primary as of `as_of`: no error, nothing to confirm."""
    nothing = {"last_error": None, "closed_rows": 0, "confirmed_deletes": None}
    values = {"row_count": rows, "last_run_at": as_of, "position": position, "watermark": watermark}
    await _save_state(connection, table, **values, **nothing)


async def fail(connection: AsyncConnection, table: str, error: str, *, begin_again: bool = False) -> None:
    """Records what stopped the table's run. The next run goes on where it stood, or reads everything anew."""
    nowhere = {"watermark": None, "position": None} if begin_again else {}
    await _save_state(connection, table, last_error=error[:LONGEST_ERROR], **nowhere)


@dataclass(frozen=True, slots=True)
class GuardState:
    """`rows` of the last complete pass, `closed` since then, and `confirmed`: how many may be deleted, None without."""

    rows: int = 0
    closed: int = 0
    confirmed: int | None = None


async def guard_state(connection: AsyncConnection, table: str) -> GuardState:
    columns = (SyncState.row_count, SyncState.closed_rows, SyncState.confirmed_deletes)
    row = (await connection.execute(select(*columns).where(SyncState.table_name == table))).one_or_none()
    return GuardState(*row) if row else GuardState()


async def save_closed(connection: AsyncConnection, table: str, rows: int) -> None:
    """Records how many rows wait, closed, for a confirmation; an earlier confirmation was not for these."""
    await _save_state(connection, table, closed_rows=rows, confirmed_deletes=None)


async def confirm_deletes(connection: AsyncConnection, table: str, most: int) -> None:
    """Lets the pass under way, or else the next one, delete `most` rows."""
    await _save_state(connection, table, confirmed_deletes=most)


async def required_columns(connection: AsyncConnection, table: str) -> dict[str, list[str]]:
    """Returns shape → the columns about access that were seen in the primary's table."""
    statement = select(SyncState.required).where(SyncState.table_name == table)
    return (await connection.execute(statement)).scalar_one_or_none() or {}


async def save_required_columns(connection: AsyncConnection, table: str, columns: Mapping[str, Sequence[str]]) -> None:
    await _save_state(connection, table, required=columns)


async def _save_state(connection: AsyncConnection, table: str, **values: Any) -> None:
    statement = insert(SyncState).values(table_name=table, **values)
    statement = statement.on_conflict_do_update(
        index_elements=[SyncState.table_name], set_={**values, "updated_at": func.now()}
    )
    await connection.execute(statement)


async def states(connection: AsyncConnection) -> dict[str, Mapping[str, Any]]:
    """Returns the row of sync_state of each table."""
    columns = (
        *(SyncState.table_name, SyncState.watermark, SyncState.row_count),
        *(SyncState.last_run_at, SyncState.last_error, SyncState.closed_rows),
    )
    rows = await connection.execute(select(*columns).where(~_IS_DEBT))
    return {row["table_name"]: dict(row) for row in rows.mappings()}


async def owe_epochs(connection: AsyncConnection, spaces: Sequence[str]) -> None:
    """Remembers, in the transaction that takes access away, that these spaces' epochs must be raised.

    Each debt is a row of its own, so nobody waits for who owes or settles another.
    """
    await connection.execute(
        insert(SyncState).values(table_name=f"{OWED_EPOCHS}:{new_id()}", watermark={"spaces": list(spaces)})
    )


async def settle_epochs(connection: AsyncConnection) -> list[str] | None:
    """Forgets the latest debt when the transaction commits; returns its spaces, or None if none is left to us.

    The latest, so that who has just been removed does not wait for a mass of posts that were hidden.
    """
    name = SyncState.table_name
    latest = select(name).where(_IS_DEBT).order_by(name.desc()).limit(1)
    one = latest.with_for_update(skip_locked=True).scalar_subquery()
    owed = (await connection.execute(delete(SyncState).where(name == one).returning(SyncState.watermark))).one_or_none()
    return list(owed.watermark["spaces"]) if owed else None
