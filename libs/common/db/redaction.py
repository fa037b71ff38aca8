"""The log keeps every fact, but nobody reads again what was deleted since.

An event that says what a message or a comment said is given out without its words once they were taken back.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.log import LoggedEvent
from libs.common.db.models.chat import ChatMessage, DocumentComment
from libs.common.ids import is_id

_MESSAGES = ("chat.message_posted", "chat.message_edited")
_COMMENTS = ("documents.comment_changed",)
_GONE: dict[str, Any] = {"content": None, "mentions": [], "is_deleted": True}


async def redact(connection: AsyncConnection, events: Sequence[LoggedEvent]) -> list[LoggedEvent]:
    """The events, in the same order; two short queries where any of them holds words, none otherwise."""
    gone = await _deleted(connection, ChatMessage, {_subject(e) for e in events if e.name in _MESSAGES})
    gone |= await _deleted(connection, DocumentComment, {_subject(e) for e in events if e.name in _COMMENTS})
    return [_without_words(event) if _subject(event) in gone else event for event in events] if gone else list(events)


async def _deleted(connection: AsyncConnection, table: type[ChatMessage | DocumentComment], ids: set[str]) -> set[str]:
    ids.discard("")
    if not ids:
        return set()
    return set((await connection.execute(select(table.id).where(table.id.in_(ids), table.is_deleted))).scalars())


def _subject(event: LoggedEvent) -> str:
    """The id of the message or comment; empty where there is none."""
    about = event.payload.get("comment", {}) if event.name in _COMMENTS else event.payload
    found = str(about.get("id"))
    return found if is_id(found) else ""


def _without_words(event: LoggedEvent) -> LoggedEvent:
    if event.name in _COMMENTS:
        return replace(event, payload={**event.payload, "comment": {**event.payload["comment"], "content": None}})
    known = {name: value for name, value in _GONE.items() if name in event.payload}
    return replace(event, payload={**event.payload, **known})
