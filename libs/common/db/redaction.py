"""The log keeps every fact, but not the words that were taken back, nor those of a month of chat that is archived: they
go in the transaction that deletes the messages.

An event that said what a message or a comment said stays, without its words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.event_log import EventLogRow

_GONE: dict[str, Any] = {"content": None, "mentions": [], "is_deleted": True}
# `is_deleted` is in a payload that has everything else too; an edit's has the two others alone. What a comment says is
# deeper in its payload, and stays: comments have no months.
_FORGET_MONTH = text("""
WITH said AS (
  SELECT id, subject FROM event_log
  WHERE subject >= chat_partitions.first_id(CAST(:month AS date))
    AND subject < chat_partitions.first_id((CAST(:month AS date) + interval '1 month')::date)
    AND (subject, id) > (CAST(:subject AS uuid), CAST(:id AS uuid))
  ORDER BY subject, id LIMIT :limit
), forgotten AS (
  UPDATE event_log e SET payload = e.payload || CASE WHEN jsonb_exists(e.payload, 'is_deleted')
    THEN CAST(:gone AS jsonb) ELSE CAST(:gone AS jsonb) - 'is_deleted' END
  FROM said WHERE e.id = said.id AND e.payload->>'content' IS NOT NULL
)
SELECT subject, id, count(*) OVER () AS events FROM said ORDER BY subject DESC, id DESC LIMIT 1
""")
_FORGET_DELIVERED = text("SELECT forget_delivered_words(:month)")


@dataclass(frozen=True, slots=True)
class Place:
    """How far the events of a month are read: in the order of their messages' ids, and of their own."""

    subject: str = "00000000-0000-0000-0000-000000000000"
    id: str = "00000000-0000-0000-0000-000000000000"


async def forget_words(connection: AsyncConnection, subject: str) -> None:
    """Of the message or comment with this id, in every event that was logged with it as its `subject`."""
    row = EventLogRow
    statement = select(row.id, row.payload).where(row.subject == subject).order_by(row.id).with_for_update()
    for id, payload in (await connection.execute(statement)).all():
        await connection.execute(update(row).where(row.id == id).values(payload=_without_words(payload)))


async def forget_month(connection: AsyncConnection, month: date, after: Place, limit: int) -> Place | None:
    """Takes the words of a month's messages out of at most `limit` events after a place, whenever these happened.

    Returns the place of the last one; None where there are no more.
    """
    given = {"month": month, "subject": after.subject, "id": after.id, "limit": limit}
    found = await connection.execute(_FORGET_MONTH, {**given, "gone": msgspec.json.encode(_GONE).decode()})
    last = found.one_or_none()
    return Place(str(last.subject), str(last.id)) if last and last.events == limit else None


async def forget_delivered(connection: AsyncConnection, month: date) -> None:
    """Takes the words of a month's messages out of the webhooks that said them, delivered or not."""
    await connection.execute(_FORGET_DELIVERED, {"month": month})


def words_are_gone(payload: Mapping[str, Any]) -> bool:
    """Returns whether a payload is the remainder of an event whose words were taken back."""
    said = payload.get("comment", payload)
    return "content" in said and said["content"] is None


def _without_words(payload: dict[str, Any]) -> dict[str, Any]:
    if "comment" in payload:
        return {**payload, "comment": {**payload["comment"], "content": None}}
    return {**payload, **{name: value for name, value in _GONE.items() if name in payload}}
