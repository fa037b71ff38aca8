"""SQL on `notifications`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.contracts import notifications
from libs.common.contracts.chat import Message
from libs.common.db.models.chat import ChatMessage, DocumentComment, Notification
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said, of which accounts are notified: a message, or a comment on a document."""

    id: str
    seq: int
    space: SpaceKey
    subspace: str
    by: str
    content: str
    of_comment: bool = False
    of_event: bool = False  # a notice, of an event or a webhook, which is neither


def said(message: Message) -> Said:
    """Returns a message as what somebody said."""
    space = SpaceKey(message.space_type, message.space_id)
    return Said(message.id, message.seq, space, message.subspace, message.display_name, message.content or "")


async def insert(connection: AsyncConnection, notified: Iterable[tuple[Said, Mapping[str, str]]]) -> None:
    """Stores a row for each that was said and account, by account → kind; one that was there is unread again."""
    rows = [
        {
            "id": new_id(),
            "account": account,
            "kind": kind,
            "space_type": said.space.space_type,
            "space_id": said.space.space_id,
            "subspace": said.subspace,
            "message_id": said.id,
            "of_comment": said.of_comment,
            "by": said.by,
        }
        for said, kinds in notified
        for account, kind in sorted(kinds.items())
    ]
    if rows:
        statement = pg_insert(Notification)
        renewed = {"kind": statement.excluded.kind, "read_at": None}
        await connection.execute(
            statement.on_conflict_do_update(constraint="uq_notifications_message", set_=renewed), rows
        )


async def withdraw(
    connection: AsyncConnection, said_id: str, accounts: Collection[str], others: Mapping[str, str]
) -> None:
    """Takes mentions back: of `accounts`, those in `others` keep a notification of that kind, the rest none unread."""
    mentions = (Notification.message_id == said_id) & (Notification.kind == "mention")
    for account in sorted(accounts):
        mention = mentions & (Notification.account == account)
        if account in others:
            await connection.execute(update(Notification).where(mention).values(kind=others[account]))
        else:
            await connection.execute(delete(Notification).where(mention, Notification.read_at.is_(None)))


async def forget(connection: AsyncConnection, said_id: str) -> None:
    """Deletes all notifications of what was said: it was deleted."""
    await connection.execute(delete(Notification).where(Notification.message_id == said_id))


async def page(
    connection: AsyncConnection,
    account: str,
    hidden: Collection[SpaceKey],
    *,
    unread: bool,
    before: str | None,
    limit: int,
) -> tuple[list[notifications.Notification], bool]:
    """Returns at most `limit` notifications of spaces that are not `hidden`, newest first; true if there are more.

    Those of the account's own webhooks are among them whatever became of the space: that may be what they tell of.
    """
    statement = (
        select(
            Notification.id,
            Notification.kind,
            Notification.space_type,
            Notification.space_id,
            Notification.subspace,
            case((~Notification.of_comment & Notification.title.is_(None), Notification.message_id)).label(
                "message_id"
            ),
            case((Notification.of_comment, Notification.message_id)).label("comment_id"),
            Notification.by,
            func.coalesce(ChatMessage.content, DocumentComment.content, Notification.title).label("content"),
            Notification.created_at,
            Notification.read_at,
            Notification.link,
        )
        .outerjoin(ChatMessage, ~Notification.of_comment & (ChatMessage.id == Notification.message_id))
        .outerjoin(DocumentComment, Notification.of_comment & (DocumentComment.id == Notification.message_id))
        .where(Notification.account == account, or_(~_among(hidden), Notification.link.is_not(None)))
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
