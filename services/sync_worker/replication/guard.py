"""Keeps what the primary lost by accident, without keeping anybody in.

Rows that vanish in suspicious number, of a table that can be closed, are closed and stay until an operator confirms
that they are to go, or until the primary has them again. Permissions are never guarded: they go at once.
"""

from collections.abc import Sequence
from itertools import batched

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.engine import Database
from libs.common.db.event_log import FactLog
from libs.common.errors import CONFLICT, PresenceError
from services.sync_worker.replication import repository, revocations
from services.sync_worker.replication.facts import telling
from services.sync_worker.tables.table import Key, Table

A_FEW = 10  # rows; so many may go of a table that keeps others
ALL_OF = 3  # rows; if so many were there and none of them is left, the table was emptied or put in another's place
AT_ONCE = 1_000  # rows closed in one transaction, which holds the counters of their spaces


class TooManyDeletes(Exception):
    """The primary lacks so much that it is more likely broken than right."""


async def check(log: FactLog, table: Table, missing: Sequence[Key], rows: int, percent: float) -> None:
    """Returns if `missing` may be deleted, of `rows`. Else closes them and raises `TooManyDeletes`."""
    if table.closed is None or not missing:
        return
    async with log.database.read() as connection:
        state = await repository.guard_state(connection, table.name)
    if not _is_suspicious(len(missing), rows, state.rows, percent):
        return
    if state.confirmed is not None and len(missing) <= state.confirmed:
        return
    for keys in batched(missing, AT_ONCE):
        async with log.transaction() as transaction, telling(transaction, table, keys):
            await shut(transaction.connection, table, keys)
    async with log.database.transaction() as connection:
        await repository.save_closed(connection, table.name, len(missing))
    raise TooManyDeletes(
        f"{len(missing)} of {rows} rows are gone from the primary or cannot be read: they are closed, and none was "
        "deleted. They open when they are back. If they are to go: "
        f"python -m services.sync_worker confirm {table.name} --deletes {len(missing)}"
    )


def _is_suspicious(missing: int, rows: int, before: int, percent: float) -> bool:
    """Returns whether so many of `rows` are gone, with `before` at the end of the last complete pass."""
    if missing == rows:
        return True
    return missing >= before >= ALL_OF or (missing > A_FEW and missing > rows * percent / 100)


async def drop(connection: AsyncConnection, table: Table, keys: Sequence[Key]) -> None:
    """Deletes rows; the epochs of their spaces are owed in the same transaction."""
    if keys:
        gone = await repository.remove(connection, table, keys)
        await revocations.remember(connection, [table.space_of(key) for key in gone])


async def shut(connection: AsyncConnection, table: Table, keys: Sequence[Key]) -> None:
    """Takes away what rows open that vanished or cannot be read any more: closes them, or deletes permissions.

    Their spaces' epochs are owed in the same transaction.
    """
    take_away = repository.remove if table.closed is None else repository.close
    lost: list[Key] = []
    for page in batched(keys, table.page):
        lost += await take_away(connection, table, page)
    await revocations.remember(connection, [table.space_of(key) for key in lost])


async def confirm(database: Database, table: str, most: int) -> None:
    """Lets one pass, the one under way or the next, delete the closed rows of `table`, `most` at most.

    Raises `conflict` unless rows wait for that, and no more than `most`; `unavailable`.
    """
    async with database.transaction() as connection:
        closed = (await repository.guard_state(connection, table)).closed
        if not closed:
            raise PresenceError(CONFLICT, f"No rows of {table} wait for a confirmation.")
        if closed > most:
            raise PresenceError(CONFLICT, f"{closed} rows of {table} wait for a confirmation, not {most}.")
        await repository.confirm_deletes(connection, table, most)
