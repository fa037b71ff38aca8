"""SQL on `moderation_audit`, to which rows can only be added."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.bus.base import Caller
from libs.common.contracts.moderation import AuditEntry
from libs.common.db.models.spaces import ModerationAudit
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.spaces_auth.moderation.subjects import Subject


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the audit trail before it is stored."""

    action: str
    subject: Subject | None = None
    reason: str | None = None
    until: datetime | None = None
    details: dict[str, Any] | None = None


async def record(
    connection: AsyncConnection, space: SpaceKey, caller: Caller, client_message_id: str | None, entry: Entry
) -> str | None:
    """Stores the entry and returns its id; None for a command that was carried out before."""
    return await _insert(connection, space, caller.identity.key, client_message_id, entry)


async def record_event(connection: AsyncConnection, space: SpaceKey, actor: str, event_id: str, entry: Entry) -> None:
    """Stores the entry of an event of the log, unless it is there already."""
    await _insert(connection, space, actor, f"event:{event_id}", entry)


async def _insert(
    connection: AsyncConnection, space: SpaceKey, actor: str, client_message_id: str | None, entry: Entry
) -> str | None:
    statement = pg_insert(ModerationAudit).values(
        id=new_id(),
        space_type=space.space_type,
        space_id=space.space_id,
        action=entry.action,
        actor=actor,
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
    """Returns the entry that the actor's command of that id made; None if it was not carried out before."""
    statement = select(ModerationAudit).where(
        ModerationAudit.actor == actor, ModerationAudit.client_message_id == client_message_id
    )
    return (await connection.execute(statement)).one_or_none() if client_message_id else None


async def page(connection: AsyncConnection, space: SpaceKey, before: str | None, limit: int) -> list[AuditEntry]:
    """Returns at most `limit` entries, newest first, older than the entry with the id `before`."""
    statement = select(ModerationAudit).where(
        ModerationAudit.space_type == space.space_type, ModerationAudit.space_id == space.space_id
    )
    if before:
        statement = statement.where(ModerationAudit.id < before)
    rows = await connection.execute(statement.order_by(ModerationAudit.id.desc()).limit(limit))
    return [
        AuditEntry(r.id, r.action, r.actor, r.subject_kind, r.subject, r.reason, r.until, r.details, r.created_at)
        for r in rows
    ]
