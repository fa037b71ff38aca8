"""SQL on `chat_message_edits`: the former words of messages."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.chat import Edit
from libs.common.db.models.chat import ChatMessageEdit

_COLUMNS = (ChatMessageEdit.id, ChatMessageEdit.content, ChatMessageEdit.edited_by, ChatMessageEdit.edited_at)


async def page(
    connection: AsyncConnection, message_id: str, after: str | None, limit: int
) -> tuple[list[Edit], str | None]:
    """Returns at most `limit` edits, oldest first, and the id after which the next page begins if there is one."""
    statement = select(*_COLUMNS).where(ChatMessageEdit.message_id == message_id)
    if after:
        statement = statement.where(ChatMessageEdit.id > after)
    rows = (await connection.execute(statement.order_by(ChatMessageEdit.id).limit(limit + 1))).all()
    return page_of(rows, limit)


def page_of(rows: Sequence[Any], limit: int) -> tuple[list[Edit], str | None]:
    """Returns `rows`, of which `limit` + 1 were asked for, as a page and the id after which the next one begins."""
    following = rows[limit - 1].id if len(rows) > limit else None
    return [Edit(row.content, row.edited_by, row.edited_at) for row in rows[:limit]], following
