"""Deduplication for consumers: `first_time` inside the handler's own transaction."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.db.models.event_log import InboxRow

# One text however many events: a statement that grows with them is compiled and prepared anew for each number.
_MARK = text("""
INSERT INTO inbox (consumer, event_id) SELECT :consumer, unnest(CAST(:event_ids AS uuid[]))
ON CONFLICT DO NOTHING RETURNING event_id
""")
RETENTION = timedelta(days=7)  # far longer than the broker keeps an event unacknowledged


async def first_time(connection: AsyncConnection, consumer: str, event_ids: Sequence[str]) -> set[str]:
    """Returns the events that this consumer sees for the first time; the marks commit with the handler's work.

    Each is given once for a consumer, however often and by however many processes it is asked for.
    """
    marks = await connection.execute(_MARK, {"consumer": consumer, "event_ids": sorted(set(event_ids))})
    return {str(event_id) for event_id in marks.scalars()}


async def prune(connection: AsyncConnection, consumer: str, limit: int) -> int:
    """Forgets at most `limit` events that can no longer come again; returns how many."""
    key = tuple_(InboxRow.consumer, InboxRow.event_id)
    old = select(*key).where(InboxRow.consumer == consumer, InboxRow.handled_at < now() - RETENTION).limit(limit)
    return (await connection.execute(delete(InboxRow).where(key.in_(old)))).rowcount
