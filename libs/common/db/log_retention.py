"""Ends what the log keeps: old events, and the counters of spaces that exist by definition and that nothing is left of.

An event or a community of any name can be entered, so a stranger can make counters without end. One goes when nobody
has used it for as long as the log keeps anything, no message of it is left, and the floor is as high as it was: numbers
of a space only ever rise. The floor is raised first and counters go in a later round, when no statement runs any more
that read the old one. The deleting is done by functions of the database's owner (migration 0010), since no service may
delete from the log.
"""

from datetime import datetime

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

_DELETE_EVENTS = text("SELECT delete_events(:before, :limit)")
_DELETE_STAYS = text("SELECT delete_stay_events(:before, :limit)")
_DELETE_COUNTERS = text("SELECT delete_unused_counters(:before, :limit)")
_RAISE_FLOOR = text("""
INSERT INTO space_counters AS floor (space_type, space_id, seq)
SELECT '', '', max(seq) FROM space_counters WHERE space_type IN ('event', 'community') AND used_at < :before
HAVING max(seq) IS NOT NULL
ON CONFLICT (space_type, space_id) DO UPDATE SET seq = excluded.seq, used_at = now() WHERE floor.seq < excluded.seq
""")


async def delete_events(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Deletes at most `limit` published events from before the moment; returns how many."""
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


async def _deleted(connection: AsyncConnection, statement: TextClause, before: datetime, limit: int) -> int:
    return int((await connection.execute(statement, {"before": before, "limit": limit})).scalar_one())
