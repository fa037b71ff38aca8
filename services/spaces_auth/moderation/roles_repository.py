"""SQL on `space_roles`: the roles that were given in a space."""

from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.moderation import GivenRole
from libs.common.db.models.spaces import SpaceRole
from libs.common.spaces import SpaceKey


async def page(connection: AsyncConnection, space: SpaceKey, after: str, limit: int) -> list[GivenRole]:
    """Returns at most `limit` roles, by account, of accounts that come after `after`."""
    statement = (
        select(SpaceRole.account, SpaceRole.role, SpaceRole.given_by, SpaceRole.created_at)
        .where(SpaceRole.space_type == space.space_type, SpaceRole.space_id == space.space_id)
        .where(SpaceRole.account > after)
        .order_by(SpaceRole.account)
        .limit(limit)
    )
    return [GivenRole(**row) for row in (await connection.execute(statement)).mappings()]


async def get(connection: AsyncConnection, space: SpaceKey, account: str) -> Row[Any] | None:
    """Returns the role that was given to the account in this space; None if none was."""
    statement = select(SpaceRole).where(_key(space, account))
    return (await connection.execute(statement)).one_or_none()


async def give(connection: AsyncConnection, space: SpaceKey, account: str, role: str, by: str) -> None:
    """Stores the account's role, in the place of an earlier one."""
    values = {"role": role, "given_by": by, "created_at": func.now()}
    key = {"space_type": space.space_type, "space_id": space.space_id, "account": account}
    await connection.execute(
        insert(SpaceRole).values(**key, **values).on_conflict_do_update(index_elements=list(key), set_=values)
    )


async def remove(connection: AsyncConnection, space: SpaceKey, account: str) -> None:
    """Deletes the role that was given to the account."""
    await connection.execute(delete(SpaceRole).where(_key(space, account)))


def _key(space: SpaceKey, account: str) -> ColumnElement[bool]:
    return and_(
        SpaceRole.space_type == space.space_type, SpaceRole.space_id == space.space_id, SpaceRole.account == account
    )
