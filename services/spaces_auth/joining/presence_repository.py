"""SQL on `presence_sessions`: the stays of sockets in spaces."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import literal_column

from libs.common.contracts.spaces import PresenceChange
from libs.common.db.models.spaces import PresenceSession

_STATE = ("position", "avatar_data", "voice")


@dataclass(frozen=True, slots=True)
class Stay:
    """One stay as a batch of changes describes it; `end` is its leave, None if it has not left."""

    begin: PresenceChange
    end: PresenceChange | None
    last: PresenceChange


async def ensure(connection: AsyncConnection, stays: Sequence[Stay]) -> set[str]:
    """Stores a row for each stay, or what a later change says of it; returns the ids of new rows.

    A stay that ended stays ended, whatever arrives late.
    """
    if not stays:
        return set()
    statement = insert(PresenceSession).values([_values(stay) for stay in stays])
    statement = statement.on_conflict_do_update(
        index_elements=[PresenceSession.id],
        set_={name: statement.excluded[name] for name in ("last_activity", *_STATE)},
        where=PresenceSession.left_at.is_(None) & (statement.excluded.last_activity >= PresenceSession.last_activity),
    )
    # xmax is 0 in a row that was just inserted, not updated (PostgreSQL's system columns).
    returning = statement.returning(PresenceSession.id, (literal_column("xmax") == literal_column("0")).label("new"))
    return {row.id for row in await connection.execute(returning) if row.new}


async def end(connection: AsyncConnection, changes: Sequence[PresenceChange]) -> set[str]:
    """Ends the stays that have not ended yet; returns their ids."""
    ended: set[str] = set()
    for change in changes:
        statement = (
            update(PresenceSession)
            .where(PresenceSession.id == change.session_id, PresenceSession.left_at.is_(None))
            .values(left_at=change.at, last_activity=None, leave_reason=change.reason)
            .returning(PresenceSession.id)
        )
        ended |= set((await connection.execute(statement)).scalars())
    return ended


def _values(stay: Stay) -> dict[str, Any]:
    change = stay.begin
    return {
        "id": change.session_id,
        "space_type": change.space_type,
        "space_id": change.space_id,
        "subspace": change.subspace,
        "socket_id": change.socket_id,
        "replica_id": change.replica_id,
        "user_account": change.user_account,
        "guest_id": change.guest_id,
        "display_name": change.display_name,
        "joined_at": change.at,
        "last_activity": stay.last.at,
        **{name: getattr(stay.last, name) for name in _STATE},
    }
