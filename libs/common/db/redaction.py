"""The log keeps every fact, but not the words that were taken back: they go in the transaction that deletes them.

An event that said what a message or a comment said stays, without its words.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.event_log import EventLogRow

_GONE: dict[str, Any] = {"content": None, "mentions": [], "is_deleted": True}


async def forget_words(connection: AsyncConnection, subject: str) -> None:
    """Of the message or comment with this id, in every event that was logged with it as its `subject`."""
    row = EventLogRow
    statement = select(row.id, row.payload).where(row.subject == subject).order_by(row.id).with_for_update()
    for id, payload in (await connection.execute(statement)).all():
        await connection.execute(update(row).where(row.id == id).values(payload=_without_words(payload)))


def words_are_gone(payload: Mapping[str, Any]) -> bool:
    """Returns whether a payload is the remainder of an event whose words were taken back."""
    said = payload.get("comment", payload)
    return "content" in said and said["content"] is None


def _without_words(payload: dict[str, Any]) -> dict[str, Any]:
    if "comment" in payload:
        return {**payload, "comment": {**payload["comment"], "content": None}}
    return {**payload, **{name: value for name, value in _GONE.items() if name in payload}}
