"""Deduplication for consumers: `first_time` inside the handler's own transaction."""

from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.db.models.event_log import InboxRow

RETENTION = timedelta(days=7)  # far longer than the broker keeps an event unacknowledged


async def first_time(connection: AsyncConnection, consumer: str, event_id: str) -> bool:
    """True once per consumer and event; the mark commits, or not, with the handler's work."""
    statement = insert(InboxRow).values(consumer=consumer, event_id=event_id).on_conflict_do_nothing()
    return (await connection.execute(statement)).rowcount == 1


async def prune(connection: AsyncConnection, consumer: str) -> None:
    """Forget what can no longer come again."""
    old = InboxRow.handled_at < now() - RETENTION
    await connection.execute(delete(InboxRow).where(InboxRow.consumer == consumer, old))
