"""All SQL of chat."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, Select, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.chat import Message
from libs.common.db.models.chat import ChatMessage
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.spaces import SpaceKey


class AlreadyPosted(Exception):
    """The author has used this `client_message_id` in this space; the transaction must not commit."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which messages: the newest `limit` below `before_seq`, or the oldest above `after_seq`."""

    space: SpaceKey
    subspace: str
    limit: int
    thread: str | None = None
    before_seq: int | None = None
    after_seq: int | None = None

    def before(self, seq: int) -> "Page":
        return replace(self, before_seq=seq)

    def after(self, seq: int) -> "Page":
        return replace(self, after_seq=seq)


async def insert(connection: AsyncConnection, message: Message, author_key: str) -> None:
    """Raises `AlreadyPosted`, which waits for a rival that is about to commit."""
    values = {column.key: getattr(message, column.key) for column in _COPIED}
    statement = pg_insert(ChatMessage).values(author_key=author_key, **values)
    statement = statement.on_conflict_do_nothing(constraint="uq_chat_messages_client_id")
    if (await connection.execute(statement)).rowcount == 0:
        raise AlreadyPosted


_COPIED = (
    ChatMessage.id, ChatMessage.seq, ChatMessage.space_type, ChatMessage.space_id, ChatMessage.subspace,
    ChatMessage.user_account, ChatMessage.display_name, ChatMessage.message_type, ChatMessage.content,
    ChatMessage.parent_message_id, ChatMessage.thread_count, ChatMessage.mentions, ChatMessage.is_edited,
    ChatMessage.is_deleted, ChatMessage.client_message_id, ChatMessage.created_at, ChatMessage.updated_at,
)  # fmt: skip


async def by_client_id(connection: AsyncConnection, space: SpaceKey, author_key: str, client_id: str) -> Message:
    statement = _in(space).where(ChatMessage.author_key == author_key, ChatMessage.client_message_id == client_id)
    return _to_message((await connection.execute(statement)).one())


async def count_reply(connection: AsyncConnection, space: SpaceKey, subspace: str, parent_id: str) -> None:
    """Raise the parent's `thread_count`. Raises `not_found` for a parent of another space."""
    statement = (
        update(ChatMessage)
        .where(
            ChatMessage.id == parent_id,
            ChatMessage.space_type == space.space_type,
            ChatMessage.space_id == space.space_id,
            ChatMessage.subspace == subspace,
        )
        .values(thread_count=ChatMessage.thread_count + 1)
    )
    if (await connection.execute(statement)).rowcount == 0:
        raise PresenceError(NOT_FOUND, "There is no such message to reply to.")


async def seq_of(connection: AsyncConnection, space: SpaceKey, message_id: str) -> int | None:
    statement = _in(space).where(ChatMessage.id == message_id).with_only_columns(ChatMessage.seq)
    seq: int | None = (await connection.execute(statement)).scalar_one_or_none()
    return seq


async def page(connection: AsyncConnection, page: Page) -> tuple[list[Message], bool]:
    """Messages, oldest first, and whether there are more beyond the page."""
    statement = _in(page.space).where(ChatMessage.subspace == page.subspace)
    if page.thread:
        statement = statement.where(ChatMessage.parent_message_id == page.thread)
    if page.before_seq is not None:
        statement = statement.where(ChatMessage.seq < page.before_seq)
    if page.after_seq is not None:
        statement = statement.where(ChatMessage.seq > page.after_seq)
    newest_first = page.after_seq is None
    order = ChatMessage.seq.desc() if newest_first else ChatMessage.seq.asc()
    rows = (await connection.execute(statement.order_by(order).limit(page.limit + 1))).all()
    messages = [_to_message(row) for row in rows[: page.limit]]
    return (messages[::-1] if newest_first else messages), len(rows) > page.limit


def _in(space: SpaceKey) -> Select[Any]:
    statement: Any = select(*_COPIED)
    return statement.where(ChatMessage.space_type == space.space_type, ChatMessage.space_id == space.space_id)  # type: ignore[no-any-return]


def _to_message(row: Row[Any]) -> Message:
    """A deleted message stays as a tombstone without content."""
    stored = row._asdict()
    if stored["is_deleted"]:
        stored["content"] = None
    return Message(**stored, guest=stored["user_account"] is None, reactions={})
