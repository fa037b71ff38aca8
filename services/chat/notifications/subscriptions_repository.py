"""SQL on `chat_subscriptions`: an account's notification level in a space. Read cursors of the same rows: inbox."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.db.models.chat import ChatSubscription
from libs.common.spaces import SpaceKey

MOST_EAGER = 500  # accounts with the level `all` that one message notifies
DEFAULT_LEVEL = "mentions"


@dataclass(frozen=True, slots=True)
class Subscription:
    """An account's subscription to a space; the defaults are those of an account that never set one.

    `last_read_seq` is the number up to which all subspaces are read.
    """

    level: str = DEFAULT_LEVEL
    last_read_message_id: str | None = None
    last_read_seq: int = 0


async def get(connection: AsyncConnection, space: SpaceKey, account: str) -> Subscription:
    """Returns the account's subscription, by default if none is stored."""
    columns = (ChatSubscription.level, ChatSubscription.last_read_message_id, ChatSubscription.last_read_seq)
    statement = select(*columns).where(_of(space), ChatSubscription.account == account)
    row = (await connection.execute(statement)).mappings().one_or_none()
    return Subscription(**row) if row else Subscription()


async def set_level(connection: AsyncConnection, space: SpaceKey, account: str, level: str) -> None:
    """Stores the level; the read cursor stays."""
    statement = insert(ChatSubscription).values(
        space_type=space.space_type, space_id=space.space_id, account=account, level=level, updated_at=now()
    )
    changed = {"level": level, "updated_at": now()}
    await connection.execute(statement.on_conflict_do_update(constraint="pk_chat_subscriptions", set_=changed))


async def levels(connection: AsyncConnection, space: SpaceKey, named: Collection[str]) -> dict[str, str]:
    """Returns the stored levels of the accounts `named`, and of at most `MOST_EAGER` with the level `all`."""
    stored = select(ChatSubscription.account, ChatSubscription.level).where(_of(space))
    eager = stored.where(ChatSubscription.level == "all").limit(MOST_EAGER).subquery()
    wanted = union_all(stored.where(ChatSubscription.account.in_(named)), select(eager))
    return {row.account: row.level for row in await connection.execute(wanted)}


async def subscribed(connection: AsyncConnection, account: str, limit: int) -> dict[SpaceKey, int]:
    """Returns at most `limit` spaces whose level is not `none`, newest first, each with its `last_read_seq`."""
    statement = (
        select(ChatSubscription.space_type, ChatSubscription.space_id, ChatSubscription.last_read_seq)
        .where(ChatSubscription.account == account, ChatSubscription.level != "none")
        .order_by(ChatSubscription.updated_at.desc())
        .limit(limit)
    )
    return {SpaceKey(row.space_type, row.space_id): row.last_read_seq for row in await connection.execute(statement)}


def _of(space: SpaceKey) -> ColumnElement[bool]:
    return (ChatSubscription.space_type == space.space_type) & (ChatSubscription.space_id == space.space_id)
