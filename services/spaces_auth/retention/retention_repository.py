"""SQL of pruning: deletes rows whose moment or day is over, in batches that hold no lock for long."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from libs.common.db.models.auth import RefreshToken
from libs.common.db.models.spaces import (
    MovePerson,
    PresenceSession,
    SpaceActivity,
    SpaceDay,
    SpaceMove,
    SpacePerson,
    SpaceRemoval,
    VisitorPlace,
    WebrtcDay,
)

type Moment = InstrumentedAttribute[Any]

STAYS: tuple[Moment, ...] = (PresenceSession.left_at, PresenceSession.last_activity)  # null once a stay ended
REMOVALS: tuple[Moment, ...] = (SpaceRemoval.created_at,)
ACTIVITY: tuple[Moment, ...] = (SpaceActivity.occurred_at, VisitorPlace.entered_at)
SUMS: tuple[Moment, ...] = (  # the numbers, and who they count: days, not moments
    SpaceDay.day,
    SpacePerson.active_on,
    SpaceMove.day,
    MovePerson.moved_on,
    WebrtcDay.day,
)
TOKENS: tuple[Moment, ...] = (RefreshToken.expires_at,)
_PLACE: ColumnElement[Any] = literal_column("ctid")  # where PostgreSQL keeps a row


async def delete_older(connection: AsyncConnection, column: Moment, before: datetime | date, limit: int) -> int:
    """Deletes at most `limit` rows whose `column` is earlier; returns how many it deleted."""
    table = column.class_
    old = select(_PLACE).select_from(table).where(column < before).limit(limit)
    return (await connection.execute(delete(table).where(_PLACE.in_(old)))).rowcount
