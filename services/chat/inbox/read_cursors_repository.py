"""SQL of read cursors, of spaces and of threads, and of the messages after them."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.contracts.chat import Message
from libs.common.contracts.notifications import MOST_SUBSPACES, MOST_UNREAD, SubspaceCursor
from libs.common.db.models.chat import ChatMessage, ChatSubscription, SubspaceReadCursor, ThreadReadCursor
from libs.common.ids import earliest_after
from libs.common.spaces import SpaceKey
from services.chat.notifications.subscriptions_repository import DEFAULT_LEVEL

# Goes from one subspace to the next by the index, so that it costs as much as there are subspaces, not messages.
_OF_SPACE = text("""
WITH RECURSIVE found (subspace) AS (
  (SELECT subspace FROM chat_messages WHERE space_type = :space_type AND space_id = :space_id
   ORDER BY subspace LIMIT 1)
  UNION ALL
  SELECT (SELECT subspace FROM chat_messages
          WHERE space_type = :space_type AND space_id = :space_id AND subspace > found.subspace
          ORDER BY subspace LIMIT 1)
  FROM found WHERE found.subspace IS NOT NULL
)
SELECT found.subspace, last_read_message_id, read_to AS last_read_seq, (
  SELECT count(*) FROM (
    SELECT 1 FROM chat_messages
    WHERE space_type = :space_type AND space_id = :space_id AND subspace = found.subspace AND seq > read_to
      AND parent_message_id IS NULL AND NOT is_deleted AND author_key <> :author_key
    LIMIT :most_unread
  ) AS counted
) AS unread
FROM found
LEFT JOIN subspace_read_cursors AS read
  ON (read.account, read.space_type, read.space_id, read.subspace)
   = (:account, :space_type, :space_id, found.subspace)
CROSS JOIN LATERAL greatest(read.last_read_seq, CAST(:floor AS bigint)) AS read_to
WHERE found.subspace IS NOT NULL LIMIT :most_subspaces
""")


async def move(connection: AsyncConnection, space: SpaceKey, account: str, message: Message) -> None:
    """Moves the account's cursor in the message's subspace to the message, forwards only."""
    read = {"last_read_message_id": message.id, "last_read_seq": message.seq, "updated_at": now()}
    key = {"space_type": space.space_type, "space_id": space.space_id, "account": account}
    cursor = insert(SubspaceReadCursor).values(**key, subspace=message.subspace, **read)
    await connection.execute(
        cursor.on_conflict_do_update(
            constraint="pk_subspace_read_cursors", set_=read, where=SubspaceReadCursor.last_read_seq < message.seq
        )
    )
    subscription = insert(ChatSubscription).values(**key, level=DEFAULT_LEVEL, updated_at=now())
    await connection.execute(
        subscription.on_conflict_do_update(constraint="pk_chat_subscriptions", set_={"updated_at": now()})
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


async def of_space(connection: AsyncConnection, space: SpaceKey, account: str, floor: int) -> list[SubspaceCursor]:
    """Returns the account's cursors in the subspaces that have messages, at most `MOST_SUBSPACES` by name.

    `floor` is the `seq` up to which all of them are read.
    """
    values = {
        "space_type": space.space_type,
        "space_id": space.space_id,
        "account": account,
        "author_key": f"account:{account}",
        "floor": floor,
        "most_unread": MOST_UNREAD,
        "most_subspaces": MOST_SUBSPACES,
    }
    return [SubspaceCursor(**row) for row in (await connection.execute(_OF_SPACE, values)).mappings()]


def total_unread(subspaces: Iterable[SubspaceCursor]) -> int:
    """Returns what is unread in all of them, at most `MOST_UNREAD`."""
    return min(sum(cursor.unread for cursor in subspaces), MOST_UNREAD)


async def of_subspace(
    connection: AsyncConnection, space: SpaceKey, account: str, subspace: str, floor: int
) -> SubspaceCursor:
    """Returns the account's cursor in a subspace; one must be stored. `floor` as for `of_space`."""
    stored = select(SubspaceReadCursor.last_read_message_id, SubspaceReadCursor.last_read_seq).where(
        SubspaceReadCursor.account == account,
        SubspaceReadCursor.space_type == space.space_type,
        SubspaceReadCursor.space_id == space.space_id,
        SubspaceReadCursor.subspace == subspace,
    )
    row = (await connection.execute(stored)).one()
    read_to = max(row.last_read_seq, floor)
    unread = select(ChatMessage.id).where(
        ChatMessage.space_type == space.space_type,
        ChatMessage.space_id == space.space_id,
        ChatMessage.subspace == subspace,
        ChatMessage.parent_message_id.is_(None),
        ~ChatMessage.is_deleted,
        ChatMessage.seq > read_to,
        ChatMessage.author_key != f"account:{account}",
    )
    return SubspaceCursor(subspace, row.last_read_message_id, read_to, await _count(connection, unread))


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
