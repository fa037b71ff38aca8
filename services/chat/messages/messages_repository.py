"""SQL on `chat_messages`, one or a few at a time: storing, locking, editing and erasing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, any_, bindparam, delete, select, update
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.chat import Message
from libs.common.db.models.chat import ChatMessage, ChatMessageEdit, MessageReaction
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message with the `Identity.key` of its author, which is not shown."""

    message: Message
    author_key: str

    @property
    def space(self) -> SpaceKey:
        return SpaceKey(self.message.space_type, self.message.space_id)


_COPIED = (
    ChatMessage.id, ChatMessage.seq, ChatMessage.space_type, ChatMessage.space_id, ChatMessage.subspace,
    ChatMessage.user_account, ChatMessage.display_name, ChatMessage.message_type, ChatMessage.content,
    ChatMessage.parent_message_id, ChatMessage.thread_count, ChatMessage.reactions, ChatMessage.mentions,
    ChatMessage.is_edited, ChatMessage.is_deleted, ChatMessage.client_message_id, ChatMessage.created_at,
    ChatMessage.updated_at,
)  # fmt: skip
STORED = (*_COPIED, ChatMessage.author_key)


async def insert(connection: AsyncConnection, messages: Sequence[StoredMessage]) -> None:
    """Stores new messages."""
    rows = [
        {"author_key": stored.author_key, **{column.key: getattr(stored.message, column.key) for column in _COPIED}}
        for stored in messages
    ]
    await connection.execute(pg_insert(ChatMessage), rows)


async def count_replies(connection: AsyncConnection, replies: Mapping[str, int]) -> None:
    """Raises the `thread_count` of messages, whose rows are locked, by message id."""
    if replies:
        given = {"ids": list(replies), "counts": list(replies.values())}
        await connection.execute(_COUNT_REPLIES, given)


_COUNT_REPLIES = sql("""
UPDATE chat_messages SET thread_count = thread_count + replies.count
FROM unnest(CAST(:ids AS uuid[]), CAST(:counts AS integer[])) AS replies(id, count) WHERE chat_messages.id = replies.id
""")


async def lock(connection: AsyncConnection, message_id: str) -> StoredMessage:
    """Locks a message until the transaction ends, and returns it. Raises `not_found`."""
    return await _one(connection, _stored(message_id).with_for_update())


async def lock_all(connection: AsyncConnection, message_ids: Collection[str]) -> dict[str, StoredMessage]:
    """Locks the messages that exist and returns them by id; the youngest first, as deleting locks reply and parent."""
    if not message_ids:
        return {}
    statement = _among(message_ids).order_by(ChatMessage.id.desc()).with_for_update()
    return {row.id: stored_message(row) for row in await connection.execute(statement)}


async def get_all(connection: AsyncConnection, message_ids: Collection[str]) -> dict[str, StoredMessage]:
    """Returns the messages that exist, by id."""
    if not message_ids:
        return {}
    return {row.id: stored_message(row) for row in await connection.execute(_among(message_ids))}


def _among(message_ids: Collection[str]) -> Select[Any]:
    ids: ColumnElement[Any] = bindparam(None, list(message_ids), ARRAY(ChatMessage.id.type))
    return select(*STORED).where(ChatMessage.id == any_(ids))


async def get(connection: AsyncConnection, message_id: str) -> StoredMessage:
    """Returns a message. Raises `not_found`."""
    return await _one(connection, _stored(message_id))


def _stored(message_id: str) -> Select[Any]:
    return select(*STORED).where(ChatMessage.id == message_id)


async def _one(connection: AsyncConnection, statement: Select[Any]) -> StoredMessage:
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise PresenceError(NOT_FOUND)
    return stored_message(row)


def stored_message(row: Row[Any]) -> StoredMessage:
    """Returns a row of the columns `STORED` as a message."""
    stored = row._asdict()
    author_key = stored.pop("author_key")
    return StoredMessage(_message(stored, author_key), author_key)


async def edit(connection: AsyncConnection, before: Message, after: Message, by: str) -> None:
    """Keeps the former words as an edit, and stores the new ones with their mentions."""
    former = {"message_id": before.id, "id": new_id(), "content": before.content, "edited_by": by}
    await connection.execute(pg_insert(ChatMessageEdit).values(**former, edited_at=after.updated_at))
    await _update(
        connection, after, content=after.content, mentions=after.mentions, is_edited=True, updated_at=after.updated_at
    )


async def erase(connection: AsyncConnection, after: Message, by: str) -> None:
    """Leaves a tombstone: deletes the words, their history and the reactions."""
    for table, column in (
        (ChatMessageEdit, ChatMessageEdit.message_id),
        (MessageReaction, MessageReaction.message_id),
    ):
        await connection.execute(delete(table).where(column == after.id))
    await _update(
        connection,
        after,
        content=None,
        mentions=[],
        reactions={},
        is_deleted=True,
        deleted_by=by,
        updated_at=after.updated_at,
    )
    if after.parent_message_id:
        counted = {"thread_count": ChatMessage.thread_count - 1}
        await connection.execute(update(ChatMessage).where(ChatMessage.id == after.parent_message_id).values(**counted))


async def _update(connection: AsyncConnection, message: Message, **values: Any) -> None:
    await connection.execute(update(ChatMessage).where(ChatMessage.id == message.id).values(**values))


def _message(stored: dict[str, Any], author_key: str) -> Message:
    """Returns the message; without content if it is deleted. Services, too, write without an account."""
    if stored["is_deleted"]:
        stored["content"] = None
    return Message(**stored, guest=author_key.startswith("guest:"))


def tombstone(message: Message, moment: datetime) -> Message:
    """Returns the message as it stays when its words are taken back."""
    return replace(message, content=None, mentions=[], reactions={}, is_deleted=True, updated_at=moment)
