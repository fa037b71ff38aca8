"""SQL of who is told of what, how far each account has read, and which accounts there are."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, tuple_, union_all, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.contracts.chat import Message
from libs.common.contracts.notifications import MOST_UNREAD, Notification
from libs.common.db.models.chat import ChatAccount, ThreadReadCursor
from libs.common.db.models.chat import ChatMessage as M
from libs.common.db.models.chat import ChatSubscription as S
from libs.common.db.models.chat import Notification as Row
from libs.common.db.models.content import CollaborationDocument, CollaborationPermission, Post
from libs.common.db.models.spaces import PresenceSession
from libs.common.ids import earliest_after, new_id
from libs.common.spaces import SpaceKey

MOST_TOLD = 500  # accounts with the level `all` that one message notifies
DEFAULT_LEVEL = "mentions"


# Accounts


async def remember(connection: AsyncConnection, account: str) -> None:
    await connection.execute(insert(ChatAccount).values(account=account).on_conflict_do_nothing())


async def known(connection: AsyncConnection, names: Sequence[str]) -> set[str]:
    """Those of `names` that are accounts we know: they were here, are here, or the replicated content names them."""
    if not names:
        return set()
    columns = (
        ChatAccount.account, Post.author, CollaborationDocument.creator, CollaborationPermission.account,
        PresenceSession.user_account,
    )  # fmt: skip
    found = union_all(*(select(column.label("account")).where(column.in_(names)).distinct() for column in columns))
    return {str(name) for name in (await connection.execute(found)).scalars()}


# Levels and read cursors


@dataclass(frozen=True, slots=True)
class Standing:
    """An account's subscription to a space."""

    level: str = DEFAULT_LEVEL
    last_read_message_id: str | None = None
    last_read_seq: int = 0


async def subscription(connection: AsyncConnection, space: SpaceKey, account: str) -> Standing:
    statement = select(S.level, S.last_read_message_id, S.last_read_seq).where(_of(space), S.account == account)
    row = (await connection.execute(statement)).mappings().one_or_none()
    return Standing(**row) if row else Standing()


async def set_level(connection: AsyncConnection, space: SpaceKey, account: str, level: str) -> None:
    statement = insert(S).values(
        space_type=space.space_type, space_id=space.space_id, account=account, level=level, updated_at=now()
    )
    changed = {"level": level, "updated_at": now()}
    await connection.execute(statement.on_conflict_do_update(constraint="pk_chat_subscriptions", set_=changed))


async def levels(connection: AsyncConnection, space: SpaceKey, named: Collection[str]) -> dict[str, str]:
    """Levels of the accounts that are `named`, and of those who want to hear of everything."""
    asked = select(S.account, S.level).where(_of(space))
    eager = asked.where(S.level == "all").limit(MOST_TOLD).subquery()
    found = union_all(asked.where(S.account.in_(named)), select(eager))
    return {row.account: row.level for row in await connection.execute(found)}


async def move_cursor(connection: AsyncConnection, space: SpaceKey, account: str, message: Message) -> None:
    """The space's read cursor, forwards only."""
    read = {"last_read_message_id": message.id, "last_read_seq": message.seq, "updated_at": now()}
    key = {"space_type": space.space_type, "space_id": space.space_id, "account": account}
    statement = insert(S).values(**key, level=DEFAULT_LEVEL, **read)
    await connection.execute(
        statement.on_conflict_do_update(
            constraint="pk_chat_subscriptions", set_=read, where=S.last_read_seq < message.seq
        )
    )


async def move_thread_cursor(connection: AsyncConnection, thread_id: str, account: str, message: Message) -> None:
    """A thread's read cursor, forwards only."""
    read = {"last_read_message_id": message.id, "last_read_seq": message.seq, "updated_at": now()}
    statement = insert(ThreadReadCursor).values(account=account, thread_id=thread_id, **read)
    await connection.execute(
        statement.on_conflict_do_update(
            constraint="pk_thread_read_cursors", set_=read, where=ThreadReadCursor.last_read_seq < message.seq
        )
    )


async def thread_cursor(connection: AsyncConnection, thread_id: str, account: str) -> tuple[str, int]:
    """Message and `seq` up to which the account has read the thread; it must have."""
    statement = select(ThreadReadCursor.last_read_message_id, ThreadReadCursor.last_read_seq).where(
        ThreadReadCursor.account == account, ThreadReadCursor.thread_id == thread_id
    )
    row = (await connection.execute(statement)).one()
    return row.last_read_message_id, row.last_read_seq


async def unread(connection: AsyncConnection, space: SpaceKey, account: str, after_seq: int) -> int:
    """Others' messages after a `seq`, replies and deleted ones apart; at most `MOST_UNREAD`."""
    statement = select(M.id).where(
        M.space_type == space.space_type, M.space_id == space.space_id, M.parent_message_id.is_(None),
        ~M.is_deleted, M.seq > after_seq, M.author_key != f"account:{account}",
    )  # fmt: skip
    return await _count(connection, statement)


async def unread_in_thread(connection: AsyncConnection, thread_id: str, account: str, after_seq: int) -> int:
    statement = select(M.id).where(
        M.parent_message_id == thread_id, M.id > earliest_after(thread_id), ~M.is_deleted, M.seq > after_seq,
        M.author_key != f"account:{account}",
    )  # fmt: skip
    return await _count(connection, statement)


async def _count(connection: AsyncConnection, statement: Select[Any]) -> int:
    counted = select(func.count()).select_from(statement.limit(MOST_UNREAD).subquery())
    return int((await connection.execute(counted)).scalar_one())


# Notifications


async def notify(connection: AsyncConnection, told: Iterable[tuple[Message, Mapping[str, str]]]) -> None:
    """One row for each message and account; one that was told of the message before is not told again."""
    rows = [
        {
            "id": new_id(), "account": account, "kind": kind, "space_type": message.space_type,
            "space_id": message.space_id, "subspace": message.subspace, "message_id": message.id,
            "by": message.display_name,
        }
        for message, kinds in told
        for account, kind in sorted(kinds.items())
    ]  # fmt: skip
    if rows:
        await connection.execute(insert(Row).on_conflict_do_nothing(), rows)


async def notifications(
    connection: AsyncConnection,
    account: str,
    hidden: Collection[SpaceKey],
    *,
    unread: bool,
    before: str | None,
    limit: int,
) -> tuple[list[Notification], bool]:  # fmt: skip
    """Newest first, of all spaces but the hidden ones, and whether there are more."""
    statement = (
        select(
            Row.id,
            Row.kind,
            Row.space_type,
            Row.space_id,
            Row.subspace,
            Row.message_id,
            Row.by,
            M.content,
            Row.created_at,
            Row.read_at,
        )
        .outerjoin(M, M.id == Row.message_id)
        .where(Row.account == account, ~_among(Row, hidden))
        .order_by(Row.id.desc())
        .limit(limit + 1)
    )
    if unread:
        statement = statement.where(Row.read_at.is_(None))
    if before:
        statement = statement.where(Row.id < before)
    rows = [Notification(**row) for row in (await connection.execute(statement)).mappings()]
    return rows[:limit], len(rows) > limit


async def spaces_of(connection: AsyncConnection, account: str, limit: int) -> dict[SpaceKey, int]:
    """Where the account has notifications, and how many of them it has not read."""
    statement = (
        select(Row.space_type, Row.space_id, func.count().filter(Row.read_at.is_(None)).label("unread"))
        .where(Row.account == account)
        .group_by(Row.space_type, Row.space_id)
        .order_by(func.max(Row.created_at).desc())
        .limit(limit)
    )
    return {SpaceKey(row.space_type, row.space_id): row.unread for row in await connection.execute(statement)}


async def subscribed(connection: AsyncConnection, account: str, limit: int) -> dict[SpaceKey, int]:
    """Spaces that the account wants to hear of, newest first, and the `seq` up to which it has read each."""
    statement = (
        select(S.space_type, S.space_id, S.last_read_seq)
        .where(S.account == account, S.level != "none")
        .order_by(S.updated_at.desc())
        .limit(limit)
    )
    return {SpaceKey(row.space_type, row.space_id): row.last_read_seq for row in await connection.execute(statement)}


async def mark_read(connection: AsyncConnection, account: str, ids: Sequence[str] | None) -> int:
    """How many were unread until now."""
    statement = update(Row).where(Row.account == account, Row.read_at.is_(None)).values(read_at=now())
    if ids is not None:
        statement = statement.where(Row.id.in_(ids))
    return (await connection.execute(statement)).rowcount


def _of(space: SpaceKey) -> ColumnElement[bool]:
    return (S.space_type == space.space_type) & (S.space_id == space.space_id)


def _among(table: type[Row], spaces: Collection[SpaceKey]) -> ColumnElement[bool]:
    return tuple_(table.space_type, table.space_id).in_([(space.space_type, space.space_id) for space in spaces])
