"""SQL on `communities` and `community_team`."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.events import Community, CommunityMember


async def exists(connection: AsyncConnection, name: str) -> bool:
    """Returns whether the community was visited before."""
    return (await connection.execute(select(Community.name).where(Community.name == name))).one_or_none() is not None


async def save(connection: AsyncConnection, name: str, title: str, about: str) -> None:
    """Stores what Hive tells of a community now."""
    values = {"title": title, "about": about, "told_at": func.now(), "asked_at": func.now()}
    statement = insert(Community).values(name=name, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=[Community.name], set_=values))


async def team(connection: AsyncConnection, name: str) -> dict[str, str]:
    """Returns the roles of a community's team by account."""
    statement = select(CommunityMember.account, CommunityMember.role).where(CommunityMember.name == name)
    return {row.account: row.role for row in await connection.execute(statement)}


async def replace_team(connection: AsyncConnection, name: str, roles: Mapping[str, str]) -> None:
    """Stores the team in the place of an earlier one."""
    await connection.execute(delete(CommunityMember).where(CommunityMember.name == name))
    rows = [{"name": name, "account": account, "role": role} for account, role in sorted(roles.items())]
    if rows:
        await connection.execute(insert(CommunityMember).values(rows))


async def take_due(connection: AsyncConnection, age: timedelta, limit: int) -> Sequence[str]:
    """Returns communities of which Hive was not asked for so long, and notes that it is now: no replica asks too."""
    due = (
        select(Community.name)
        .where(Community.asked_at < func.now() - age)
        .order_by(Community.asked_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = update(Community).where(Community.name.in_(due)).values(asked_at=func.now())
    return (await connection.execute(statement.returning(Community.name))).scalars().all()
