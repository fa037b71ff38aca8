"""Ends what the log keeps: old months, and the counters of spaces that exist by definition and that nothing is left of.

A month goes as a whole once all of it is old enough and published. What is published and cannot go with its month,
since an event in it waits for the broker or since the log was no months when it was written, goes row by row.

An event or a community of any name can be entered, so a stranger can make counters without end. One goes when nobody
has used it for as long as the log keeps anything, no message of it is left, and the floor is as high as it was: numbers
of a space only ever rise. The floor is raised first and counters go in a later round, when no statement runs any more
that read the old one. All of it is done by functions of the database's owner (migrations 0010 and 0015), since no
service may delete from the log.
"""

from datetime import datetime

from sqlalchemy import TextClause, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.engine import Database, was_kept_waiting
from libs.common.db.models.event_log import EventLogRow

_MAKE_AHEAD = text("SELECT log_partitions.make_months_ahead()")
_DROP_MONTH = text("SELECT drop_log_month(:before)")
_DELETE_EVENTS = text("SELECT delete_events(:before, :limit)")
_DELETE_STAYS = text("SELECT delete_stay_events(:before, :limit)")
_DELETE_COUNTERS = text("SELECT delete_unused_counters(:before, :limit)")
_RAISE_FLOOR = text("""
INSERT INTO space_counters AS floor (space_type, space_id, seq)
SELECT '', '', max(seq) FROM space_counters WHERE space_type IN ('event', 'community') AND used_at < :before
HAVING max(seq) IS NOT NULL
ON CONFLICT (space_type, space_id) DO UPDATE SET seq = excluded.seq, used_at = now() WHERE floor.seq < excluded.seq
""")


class InUse(Exception):
    """Somebody reads the log for long, a dump for instance; the month goes another time."""


async def make_months_ahead(connection: AsyncConnection) -> None:
    """Makes the months of this moment and the next two, where they are not there; every writer of the log may."""
    await connection.execute(_MAKE_AHEAD)


async def drop_month(database: Database, before: datetime) -> str | None:
    """Drops the oldest month that is wholly before the moment and published; returns the partition's name, if any went.

    Raises `InUse` after a second, for which writers wait too.
    """
    try:
        async with database.transaction() as connection:
            return (await connection.execute(_DROP_MONTH, {"before": before})).scalar_one()  # type: ignore[no-any-return]
    except DBAPIError as error:
        if was_kept_waiting(error):
            raise InUse from error
        raise


async def delete_events(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Deletes at most `limit` published events of the days before the moment's; returns how many."""
    return await _deleted(connection, _DELETE_EVENTS, before, limit)


async def delete_stays(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Deletes at most `limit` published joins and leaves from before the moment; returns how many."""
    return await _deleted(connection, _DELETE_STAYS, before, limit)


async def delete_counters(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Deletes at most `limit` counters that nobody used since `before` and nothing is left of; returns how many."""
    return await _deleted(connection, _DELETE_COUNTERS, before, limit)


async def raise_floor(connection: AsyncConnection, before: datetime) -> None:
    """Raises the floor to the highest counter that nobody used since the moment, for the next round."""
    await connection.execute(_RAISE_FLOOR, {"before": before})


async def count_unpublished(connection: AsyncConnection, before: datetime) -> int:
    """Counts the events from before the moment that the broker never took: each keeps its month."""
    row = EventLogRow
    waiting = select(func.count()).where(row.published_at.is_(None), row.occurred_at < before)
    return int((await connection.execute(waiting)).scalar_one())


async def _deleted(connection: AsyncConnection, statement: TextClause, before: datetime, limit: int) -> int:
    return int((await connection.execute(statement, {"before": before, "limit": limit})).scalar_one())
