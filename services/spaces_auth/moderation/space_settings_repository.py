"""SQL on settings and given roles."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.moderation import GivenRole
from libs.common.db.models.spaces import PresenceSpaceSettings, SpaceRole
from libs.common.spaces import SpaceKey


async def lock_settings(connection: AsyncConnection, space: SpaceKey) -> None:
    """Two changes at once come one after the other, also where there is no row to lock yet."""
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"settings {space}", 0))))


async def save_settings(connection: AsyncConnection, space: SpaceKey, settings: Mapping[str, Any], by: str) -> None:
    """`settings` are all of them, by column."""
    values = {**settings, "updated_by": by, "updated_at": func.now()}
    statement = insert(PresenceSpaceSettings).values(space_type=space.space_type, space_id=space.space_id, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["space_type", "space_id"], set_=values))


async def roles(connection: AsyncConnection, space: SpaceKey, after: str, limit: int) -> list[GivenRole]:
    """By account, those after `after`."""
    statement = (
        select(SpaceRole.account, SpaceRole.role, SpaceRole.given_by, SpaceRole.created_at)
        .where(SpaceRole.space_type == space.space_type, SpaceRole.space_id == space.space_id)
        .where(SpaceRole.account > after)
        .order_by(SpaceRole.account)
        .limit(limit)
    )
    return [GivenRole(**row) for row in (await connection.execute(statement)).mappings()]


async def role(connection: AsyncConnection, space: SpaceKey, account: str) -> Row[Any] | None:
    """What was given here."""
    statement = select(SpaceRole).where(_row(space, account))
    return (await connection.execute(statement)).one_or_none()


async def give_role(connection: AsyncConnection, space: SpaceKey, account: str, role: str | None, by: str) -> None:
    """None takes it away."""
    if role is None:
        await connection.execute(delete(SpaceRole).where(_row(space, account)))
        return
    values = {"role": role, "given_by": by, "created_at": func.now()}
    key = {"space_type": space.space_type, "space_id": space.space_id, "account": account}
    await connection.execute(
        insert(SpaceRole).values(**key, **values).on_conflict_do_update(index_elements=list(key), set_=values)
    )


def _row(space: SpaceKey, account: str) -> Any:
    return and_(
        SpaceRole.space_type == space.space_type, SpaceRole.space_id == space.space_id, SpaceRole.account == account
    )
