"""Deduplication for consumers: `first_time` inside the handler's own transaction."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.db.models.event_log import InboxRow

RETENTION = timedelta(days=7)  # far longer than the broker keeps an event unacknowledged


async def first_time(connection: AsyncConnection, consumer: str, event_ids: Sequence[str]) -> set[str]:
    """Returns the events that this consumer sees for the first time; the marks commit with the handler's work.

    Each is given once for a consumer, however often and by however many processes it is asked for.
    """
    rows = [{"consumer": consumer, "event_id": event_id} for event_id in sorted(set(event_ids))]
    statement = insert(InboxRow).values(rows).on_conflict_do_nothing().returning(InboxRow.event_id)
    return set((await connection.execute(statement)).scalars())


async def prune(connection: AsyncConnection, consumer: str, limit: int) -> int:
    """Forgets at most `limit` events that can no longer come again; returns how many."""
    key = tuple_(InboxRow.consumer, InboxRow.event_id)
    old = select(*key).where(InboxRow.consumer == consumer, InboxRow.handled_at < now() - RETENTION).limit(limit)
    return (await connection.execute(delete(InboxRow).where(key.in_(old)))).rowcount
