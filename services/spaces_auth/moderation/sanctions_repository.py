"""SQL on sanctions, removals and the audit trail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts.moderation import AuditEntry, Sanction
from libs.common.db.models.spaces import ModerationAudit, SpaceRemoval, SpaceSanction
from libs.common.ids import new_id
from libs.common.roles import Role
from libs.common.spaces import SpaceKey
from services.spaces_auth.moderation.subjects import Subject

BEATS_ALL = int(Role.OPERATOR)  # but operators


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the audit trail before it is one."""

    action: str
    subject: Subject | None = None
    reason: str | None = None
    until: datetime | None = None
    details: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """Who has to leave, unless their role is `beats` or higher, and what they are told."""

    subjects: Sequence[Subject]
    beats: int
    code: str
    reason: str


async def record(
    connection: AsyncConnection, space: SpaceKey, caller: Caller, client_message_id: str | None, entry: Entry
) -> str | None:
    """Keep the entry; its id, or None for a command that was carried out before."""
    statement = upsert(ModerationAudit).values(
        id=new_id(),
        space_type=space.space_type,
        space_id=space.space_id,
        action=entry.action,
        actor=caller.identity.key,
        subject_kind=entry.subject.kind if entry.subject else None,
        subject=entry.subject.id if entry.subject else None,
        reason=entry.reason,
        until=entry.until,
        details=entry.details or {},
        client_message_id=client_message_id,
    )
    statement = statement.on_conflict_do_nothing(constraint="uq_moderation_audit_client_id")
    return (await connection.execute(statement.returning(ModerationAudit.id))).scalar_one_or_none()


async def recorded(connection: AsyncConnection, actor: str, client_message_id: str | None) -> Row[Any] | None:
    """The entry that a command of that id made, if one was carried out before."""
    statement = select(ModerationAudit).where(
        ModerationAudit.actor == actor, ModerationAudit.client_message_id == client_message_id
    )
    return (await connection.execute(statement)).one_or_none() if client_message_id else None


async def audit(connection: AsyncConnection, space: SpaceKey, before: str | None, limit: int) -> list[AuditEntry]:
    """Newest first, those before the entry of that id."""
    statement = select(ModerationAudit).where(_there(ModerationAudit, space))
    if before:
        statement = statement.where(ModerationAudit.id < before)
    rows = await connection.execute(statement.order_by(ModerationAudit.id.desc()).limit(limit))
    return [
        AuditEntry(
            r.id, r.action, r.actor, r.subject_kind, r.subject, r.reason, r.until, r.details, r.created_at
        )
        for r in rows
    ]  # fmt: skip


async def impose(
    connection: AsyncConnection, space: SpaceKey, sanction_id: str, kind: str, subject: Subject, beats: int, by: str,
    reason: str, until: datetime | None,
) -> None:  # fmt: skip
    """A new sanction in the place of the one that the subject may have had; two at once come one after the other."""
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
        "beats": beats,
        "reason": reason,
        "imposed_by": by,
        "expires_at": until,
    }
    await connection.execute(insert(SpaceSanction).values(values))


async def lift(connection: AsyncConnection, space: SpaceKey, kind: str, subject: Subject) -> bool:
    """Whether there was one in force."""
    statement = update(SpaceSanction).where(
        _in_force(space, kind), SpaceSanction.subject_kind == subject.kind, SpaceSanction.subject == subject.id
    )
    return (await connection.execute(statement.values(lifted_at=func.now()))).rowcount > 0


async def subject_of(connection: AsyncConnection, space: SpaceKey, kind: str, sanction_id: str) -> Subject | None:
    """Whom a sanction in force hits."""
    statement = select(SpaceSanction.subject_kind, SpaceSanction.subject).where(
        _in_force(space, kind), SpaceSanction.id == sanction_id
    )
    row = (await connection.execute(statement)).one_or_none()
    return Subject(row.subject_kind, row.subject) if row else None


async def sanction(connection: AsyncConnection, sanction_id: str) -> Row[Any] | None:
    return (await connection.execute(select(SpaceSanction).where(SpaceSanction.id == sanction_id))).one_or_none()


async def sanctions(
    connection: AsyncConnection, space: SpaceKey, kind: str, before: str | None, limit: int
) -> Sequence[Row[Any]]:
    """In force, newest first."""
    statement = select(SpaceSanction).where(_in_force(space, kind))
    if before:
        statement = statement.where(SpaceSanction.id < before)
    return (await connection.execute(statement.order_by(SpaceSanction.id.desc()).limit(limit))).all()


def shown(row: Row[Any], *, addresses: bool) -> Sanction:
    subject = Subject(row.subject_kind, row.subject)
    told = subject.id if addresses else subject.told
    return Sanction(
        row.id, row.kind, row.subject_kind, told, row.reason, row.imposed_by, row.created_at, row.expires_at
    )  # fmt: skip


async def remove(connection: AsyncConnection, space: SpaceKey, seq: int, removal: Removal) -> None:
    """Whoever of its subjects was there before `seq` has to leave."""
    rows = [
        {
            "space_type": space.space_type,
            "space_id": space.space_id,
            "seq": seq,
            "subject_kind": subject.kind,
            "subject": subject.id,
            "address_range": subject.address_range,
            "beats": removal.beats,
            "code": removal.code,
            "reason": removal.reason,
        }
        for subject in removal.subjects
    ]
    await connection.execute(insert(SpaceRemoval), rows)


async def removals(connection: AsyncConnection, space: SpaceKey, after_seq: int) -> Sequence[Row[Any]]:
    """With a greater `seq`, the oldest first."""
    statement = select(SpaceRemoval).where(_there(SpaceRemoval, space), SpaceRemoval.seq > after_seq)
    return (await connection.execute(statement.order_by(SpaceRemoval.seq))).all()


def _there(table: type[SpaceRemoval | ModerationAudit | SpaceSanction], space: SpaceKey) -> ColumnElement[bool]:
    return and_(table.space_type == space.space_type, table.space_id == space.space_id)


def _in_force(space: SpaceKey, kind: str) -> ColumnElement[bool]:
    return and_(
        _there(SpaceSanction, space),
        SpaceSanction.kind == kind,
        SpaceSanction.lifted_at.is_(None),
        or_(SpaceSanction.expires_at.is_(None), SpaceSanction.expires_at > now()),
    )
