"""SQL of read cursors, of spaces and of threads, and of the messages after them."""

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.contracts.chat import Message
from libs.common.contracts.notifications import MOST_UNREAD
from libs.common.db.models.chat import ChatMessage, ChatSubscription, ThreadReadCursor
from libs.common.ids import earliest_after
from libs.common.spaces import SpaceKey
from services.chat.notifications.subscriptions_repository import DEFAULT_LEVEL


async def move(connection: AsyncConnection, space: SpaceKey, account: str, message: Message) -> None:
    """Moves the account's cursor in the space to the message, forwards only."""
    read = {"last_read_message_id": message.id, "last_read_seq": message.seq, "updated_at": now()}
    key = {"space_type": space.space_type, "space_id": space.space_id, "account": account}
    statement = insert(ChatSubscription).values(**key, level=DEFAULT_LEVEL, **read)
    await connection.execute(
        statement.on_conflict_do_update(
            constraint="pk_chat_subscriptions", set_=read, where=ChatSubscription.last_read_seq < message.seq
        )
    )


async def move_in_thread(connection: AsyncConnection, thread_id: str, account: str, message: Message) -> None:
    """Moves the account's cursor in the thread to the message, forwards only."""
    read = {"last_read_message_id": message.id, "last_read_seq": message.seq, "updated_at": now()}
    statement = insert(ThreadReadCursor).values(account=account, thread_id=thread_id, **read)
    await connection.execute(
        statement.on_conflict_do_update(
            constraint="pk_thread_read_cursors", set_=read, where=ThreadReadCursor.last_read_seq < message.seq
        )
    )


async def of_thread(connection: AsyncConnection, thread_id: str, account: str) -> tuple[str, int]:
    """Returns the message and the `seq` up to which the account has read the thread; a cursor must be stored."""
    statement = select(ThreadReadCursor.last_read_message_id, ThreadReadCursor.last_read_seq).where(
        ThreadReadCursor.account == account, ThreadReadCursor.thread_id == thread_id
    )
    row = (await connection.execute(statement)).one()
    return row.last_read_message_id, row.last_read_seq


async def unread(connection: AsyncConnection, space: SpaceKey, account: str, after_seq: int) -> int:
    """Returns the number of others' messages after a `seq`, without replies and deleted ones; at most `MOST_UNREAD`."""
    statement = select(ChatMessage.id).where(
        ChatMessage.space_type == space.space_type,
        ChatMessage.space_id == space.space_id,
        ChatMessage.parent_message_id.is_(None),
        ~ChatMessage.is_deleted,
        ChatMessage.seq > after_seq,
        ChatMessage.author_key != f"account:{account}",
    )
    return await _count(connection, statement)


async def unread_in_thread(connection: AsyncConnection, thread_id: str, account: str, after_seq: int) -> int:
    """Returns the number of others' replies after a `seq`, without deleted ones; at most `MOST_UNREAD`."""
    statement = select(ChatMessage.id).where(
        ChatMessage.parent_message_id == thread_id,
        ChatMessage.id > earliest_after(thread_id),
        ~ChatMessage.is_deleted,
        ChatMessage.seq > after_seq,
        ChatMessage.author_key != f"account:{account}",
    )
    return await _count(connection, statement)


async def _count(connection: AsyncConnection, statement: Select[Any]) -> int:
    counted = select(func.count()).select_from(statement.limit(MOST_UNREAD).subquery())
    return int((await connection.execute(counted)).scalar_one())
