"""SQL on `space_sanctions`: bans and mutes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.contracts.moderation import Sanction
from libs.common.db.models.spaces import SpaceSanction
from libs.common.roles import Role
from libs.common.spaces import SpaceKey
from services.spaces_auth.moderation.subjects import Subject

BEATS_ALL = int(Role.OPERATOR)  # every role below an operator's


async def impose(
    connection: AsyncConnection,
    space: SpaceKey,
    sanction_id: str,
    kind: str,
    subject: Subject,
    beats: int,
    by: str,
    reason: str,
    until: datetime | None,
    guest_range: str | None = None,
) -> None:
    """Stores a sanction in the place of the subject's earlier one; two at once come one after the other.

    `guest_range` is where a guest who is the subject came from.
    """
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"sanctions {space}", 0))))
    await lift(connection, space, kind, subject)
    values = {
        "id": sanction_id,
        "space_type": space.space_type,
        "space_id": space.space_id,
        "kind": kind,
        "subject_kind": subject.kind,
        "subject": subject.id,
        "address_range": subject.address_range,
        "guest_range": guest_range,
        "beats": beats,
        "reason": reason,
        "imposed_by": by,
        "expires_at": until,
    }
    await connection.execute(insert(SpaceSanction).values(values))


async def lift(connection: AsyncConnection, space: SpaceKey, kind: str, subject: Subject) -> bool:
    """Ends the subject's sanction, and that of the address which was imposed with it; false if none was in force."""
    of_subject = and_(SpaceSanction.subject_kind == subject.kind, SpaceSanction.subject == subject.id)
    statement = update(SpaceSanction).where(_in_force(space, kind), of_subject).values(lifted_at=func.now())
    ended = (await connection.execute(statement.returning(SpaceSanction.created_at, SpaceSanction.imposed_by))).all()
    if subject.identity:
        for moment, by in ended:
            await _lift_address_of(connection, space, kind, moment, by)
    return bool(ended)


async def _lift_address_of(connection: AsyncConnection, space: SpaceKey, kind: str, moment: datetime, by: str) -> None:
    """Ends the sanction of an address that one transaction made together with a person's: both have its moment."""
    together = and_(
        SpaceSanction.subject_kind == "address", SpaceSanction.created_at == moment, SpaceSanction.imposed_by == by
    )
    await connection.execute(update(SpaceSanction).where(_in_force(space, kind), together).values(lifted_at=func.now()))


async def subject_of(connection: AsyncConnection, space: SpaceKey, kind: str, sanction_id: str) -> Subject | None:
    """Returns the subject of a sanction in force; None if that is not in force."""
    statement = select(SpaceSanction.subject_kind, SpaceSanction.subject).where(
        _in_force(space, kind), SpaceSanction.id == sanction_id
    )
    row = (await connection.execute(statement)).one_or_none()
    return Subject(row.subject_kind, row.subject) if row else None


async def get(connection: AsyncConnection, sanction_id: str) -> Row[Any] | None:
    """Returns a sanction, in force or not; None if there is none of that id."""
    return (await connection.execute(select(SpaceSanction).where(SpaceSanction.id == sanction_id))).one_or_none()


async def page(
    connection: AsyncConnection, space: SpaceKey, kind: str, before: str | None, limit: int
) -> Sequence[Row[Any]]:
    """Returns at most `limit` sanctions in force, newest first, older than the one with the id `before`."""
    statement = select(SpaceSanction).where(_in_force(space, kind))
    if before:
        statement = statement.where(SpaceSanction.id < before)
    return (await connection.execute(statement.order_by(SpaceSanction.id.desc()).limit(limit))).all()


def as_contract(row: Row[Any], *, addresses: bool) -> Sanction:
    """Returns a row as a `Sanction`, without its address range unless `addresses`."""
    subject = Subject(row.subject_kind, row.subject)
    name = subject.id if addresses else subject.public_id
    return Sanction(
        row.id, row.kind, row.subject_kind, name, row.reason, row.imposed_by, row.created_at, row.expires_at
    )  # fmt: skip


def _in_force(space: SpaceKey, kind: str) -> ColumnElement[bool]:
    return and_(
        SpaceSanction.space_type == space.space_type,
        SpaceSanction.space_id == space.space_id,
        SpaceSanction.kind == kind,
        SpaceSanction.lifted_at.is_(None),
        or_(SpaceSanction.expires_at.is_(None), SpaceSanction.expires_at > now()),
    )
