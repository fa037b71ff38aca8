"""SQL on `notifications`."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.contracts import notifications
from libs.common.contracts.chat import Message
from libs.common.db.models.chat import ChatMessage, Notification
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey


async def insert(connection: AsyncConnection, messages: Iterable[tuple[Message, Mapping[str, str]]]) -> None:
    """Stores a row for each message and account, by account → kind; none if the message notified it before."""
    rows = [
        {
            "id": new_id(),
            "account": account,
            "kind": kind,
            "space_type": message.space_type,
            "space_id": message.space_id,
            "subspace": message.subspace,
            "message_id": message.id,
            "by": message.display_name,
        }
        for message, kinds in messages
        for account, kind in sorted(kinds.items())
    ]
    if rows:
        await connection.execute(pg_insert(Notification).on_conflict_do_nothing(), rows)


async def page(
    connection: AsyncConnection,
    account: str,
    hidden: Collection[SpaceKey],
    *,
    unread: bool,
    before: str | None,
    limit: int,
) -> tuple[list[notifications.Notification], bool]:
    """Returns at most `limit` notifications of spaces that are not `hidden`, newest first; true if there are more."""
    statement = (
        select(
            Notification.id,
            Notification.kind,
            Notification.space_type,
            Notification.space_id,
            Notification.subspace,
            Notification.message_id,
            Notification.by,
            ChatMessage.content,
            Notification.created_at,
            Notification.read_at,
        )
        .outerjoin(ChatMessage, ChatMessage.id == Notification.message_id)
        .where(Notification.account == account, ~_among(hidden))
        .order_by(Notification.id.desc())
        .limit(limit + 1)
    )
    if unread:
        statement = statement.where(Notification.read_at.is_(None))
    if before:
        statement = statement.where(Notification.id < before)
    rows = [notifications.Notification(**row) for row in (await connection.execute(statement)).mappings()]
    return rows[:limit], len(rows) > limit


async def unread_by_space(connection: AsyncConnection, account: str, limit: int) -> dict[SpaceKey, int]:
    """Returns the account's number of unread notifications by space, of at most `limit` spaces, newest first."""
    statement = (
        select(
            Notification.space_type,
            Notification.space_id,
            func.count().filter(Notification.read_at.is_(None)).label("unread"),
        )
        .where(Notification.account == account)
        .group_by(Notification.space_type, Notification.space_id)
        .order_by(func.max(Notification.created_at).desc())
        .limit(limit)
    )
    return {SpaceKey(row.space_type, row.space_id): row.unread for row in await connection.execute(statement)}


async def mark_read(connection: AsyncConnection, account: str, ids: Sequence[str] | None) -> int:
    """Marks the account's notifications as read, all of them for None; returns how many were unread."""
    statement = (
        update(Notification)
        .where(Notification.account == account, Notification.read_at.is_(None))
        .values(read_at=now())
    )
    if ids is not None:
        statement = statement.where(Notification.id.in_(ids))
    return (await connection.execute(statement)).rowcount


def _among(spaces: Collection[SpaceKey]) -> ColumnElement[bool]:
    keys = [(space.space_type, space.space_id) for space in spaces]
    return tuple_(Notification.space_type, Notification.space_id).in_(keys)
