"""Tells the log what changed in the replica, in the transaction that changes it.

The rows are read before and after, so whatever changed them is told, and nothing that leaves them as they are. Of a
table's first copy nothing is told: nobody knew it otherwise.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from libs.common.bus.base import Caller
from libs.common.db.event_log import Fact, Transaction
from libs.common.identity import service_identity
from libs.common.ids import new_id
from services.sync_worker.replication import repository
from services.sync_worker.tables.table import Key, Table

_ME = service_identity("sync_worker")


@asynccontextmanager
async def telling(transaction: Transaction, table: Table, keys: Sequence[Key]) -> AsyncIterator[None]:
    """Appends, at the end of the block, an event for each row of `keys` that the block has changed for somebody.

    Put nothing slow behind the block: the transaction holds the counters of the rows' spaces from there on.
    """
    if not keys or not await repository.was_copied(transaction.connection, table):
        yield
        return
    before = await repository.told(transaction.connection, table, keys)
    yield
    after = await repository.told(transaction.connection, table, keys)
    changes = {key: table.change_of(key, before.get(key), after.get(key)) for key in sorted({*before, *after})}
    facts = [_fact(table, key, change) for key, change in changes.items() if change is not None]
    await transaction.append_all(facts, Caller(_ME, new_id()))


def _fact(table: Table, key: Key, change: Any) -> Fact[Any]:
    event = next(event for event in table.events if isinstance(change, event.payload))
    return Fact(event, table.space_of(key), None, lambda _: change)
