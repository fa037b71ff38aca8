"""SQL of which accounts exist, as far as this installation knows."""

from collections.abc import Sequence

from sqlalchemy import select, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.chat import ChatAccount
from libs.common.db.models.content import CollaborationDocument, CollaborationPermission, Post
from libs.common.db.models.spaces import PresenceSession


async def remember(connection: AsyncConnection, account: str) -> None:
    """Stores that the account exists."""
    await connection.execute(insert(ChatAccount).values(account=account).on_conflict_do_nothing())


async def known(connection: AsyncConnection, names: Sequence[str]) -> set[str]:
    """Returns those of `names` that are accounts: they have been here, or the replicated content names them."""
    if not names:
        return set()
    columns = (
        ChatAccount.account,
        Post.author,
        CollaborationDocument.creator,
        CollaborationPermission.account,
        PresenceSession.user_account,
    )
    accounts = union_all(*(select(column.label("account")).where(column.in_(names)).distinct() for column in columns))
    return {str(name) for name in (await connection.execute(accounts)).scalars()}
