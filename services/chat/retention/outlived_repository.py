"""SQL that deletes rows of no use without messages that are gone, in batches that hold no lock for long."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from libs.common.db.models.chat import (
    ChatCommand,
    ChatPace,
    Notification,
    SubspaceReadCursor,
    ThreadReadCursor,
)

type Moment = InstrumentedAttribute[datetime]

OLD: tuple[Moment, ...] = (ChatCommand.created_at, Notification.created_at)
TURNS: tuple[Moment, ...] = (ChatPace.posted_at,)  # of use for as long as slow mode can last
WITH_MONTH: tuple[Moment, ...] = (
    SubspaceReadCursor.updated_at,
    ThreadReadCursor.updated_at,
)  # of use while the month they point to exists
_PLACE: ColumnElement[Any] = literal_column("ctid")  # where PostgreSQL keeps a row


async def delete_older(connection: AsyncConnection, moment: Moment, before: datetime, limit: int) -> int:
    """Deletes at most `limit` rows whose `moment` is earlier; returns how many it deleted."""
    table = moment.class_
    old = select(_PLACE).select_from(table).where(moment < before).limit(limit)
    return (await connection.execute(delete(table).where(_PLACE.in_(old)))).rowcount
