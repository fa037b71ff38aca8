"""SQL on `message_reactions`, and on the sums of them that a message's row holds."""

from typing import Any

from sqlalchemy import ColumnElement, delete, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.chat import Message
from libs.common.db.models.chat import ChatMessage, MessageReaction


async def add(connection: AsyncConnection, message_id: str, author_key: str, display_name: str, emoji: str) -> bool:
    """Stores a reaction; returns false if it was stored before."""
    values = {"message_id": message_id, "author_key": author_key, "reaction": emoji, "display_name": display_name}
    statement = insert(MessageReaction).values(**values).on_conflict_do_nothing()
    return (await connection.execute(statement)).rowcount == 1


async def remove(connection: AsyncConnection, message_id: str, author_key: str, emoji: str) -> bool:
    """Deletes a reaction; returns false if there was none."""
    statement = delete(MessageReaction).where(
        MessageReaction.message_id == message_id,
        MessageReaction.author_key == author_key,
        MessageReaction.reaction == emoji,
    )
    return (await connection.execute(statement)).rowcount == 1


async def sum_up(connection: AsyncConnection, message: Message, emoji: str, shown: int) -> dict[str, Any]:
    """Counts an emoji's reactions anew, with the first `shown` names; stores and returns all of the message's.

    The message's row must be locked.
    """
    first: ColumnElement[Any] = func.array_agg(literal_column("display_name ORDER BY created_at, author_key")).label(
        "names"
    )
    statement = select(func.count().label("count"), first).where(
        MessageReaction.message_id == message.id, MessageReaction.reaction == emoji
    )
    row = (await connection.execute(statement)).mappings().one()
    reactions = {name: entry for name, entry in message.reactions.items() if name != emoji}
    if row["count"]:
        reactions[emoji] = {"count": row["count"], "by": row["names"][:shown]}
    await connection.execute(update(ChatMessage).where(ChatMessage.id == message.id).values(reactions=reactions))
    return reactions
