"""Ends what the log keeps: old events, and the counters of spaces that exist by definition and that nothing is left of.

An event or a community of any name can be entered, so a stranger can make counters without end. One goes when nobody
has used it for as long as the log keeps anything, no message of it is left, and the floor is as high as it was: numbers
of a space only ever rise. The floor is raised first and counters go in a later round, when no statement runs any more
that read the old one.
"""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.engine import STATEMENT_TIMEOUT_MS
from libs.common.db.models.event_log import STAYS

FLOOR_HOLDS = timedelta(milliseconds=2 * STATEMENT_TIMEOUT_MS)
_OLD = "occurred_at < :before AND published_at IS NOT NULL"
_DELETE = "DELETE FROM event_log WHERE ctid = ANY (ARRAY(SELECT ctid FROM event_log WHERE {which} LIMIT :limit))"
_DELETE_EVENTS = text(_DELETE.format(which=_OLD))
_DELETE_STAYS = text(_DELETE.format(which=f"{_OLD} AND {STAYS}"))
_UNUSED = "c.space_type IN ('event', 'community') AND c.used_at < :before"
_NOTHING_LEFT = """
  NOT EXISTS (SELECT 1 FROM event_log e WHERE (e.space_type, e.space_id) = (c.space_type, c.space_id))
  AND NOT EXISTS (SELECT 1 FROM chat_messages m WHERE (m.space_type, m.space_id) = (c.space_type, c.space_id))
"""
_RAISE_FLOOR = text(f"""
INSERT INTO space_counters AS floor (space_type, space_id, seq)
SELECT '', '', max(seq) FROM space_counters c WHERE {_UNUSED} HAVING max(seq) IS NOT NULL
ON CONFLICT (space_type, space_id) DO UPDATE SET seq = excluded.seq, used_at = now() WHERE floor.seq < excluded.seq
""")  # noqa: S608  conditions of ours
_DELETE_COUNTERS = text(f"""
DELETE FROM space_counters WHERE (space_type, space_id) IN (
  SELECT c.space_type, c.space_id FROM space_counters c, space_counters floor
  WHERE floor.space_type = '' AND floor.space_id = '' AND floor.used_at < :settled AND c.seq <= floor.seq
    AND {_UNUSED} AND {_NOTHING_LEFT}
  LIMIT :limit FOR UPDATE OF c SKIP LOCKED)
""")  # noqa: S608


async def delete_events(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Deletes at most `limit` published events from before the moment; returns how many."""
    return (await connection.execute(_DELETE_EVENTS, {"before": before, "limit": limit})).rowcount


async def delete_stays(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Deletes at most `limit` published joins and leaves from before the moment; returns how many."""
    return (await connection.execute(_DELETE_STAYS, {"before": before, "limit": limit})).rowcount


async def delete_counters(connection: AsyncConnection, before: datetime, now: datetime, limit: int) -> int:
    """Deletes at most `limit` counters that nobody used since `before` and nothing is left of; returns how many."""
    given = {"before": before, "settled": now - FLOOR_HOLDS, "limit": limit}
    return (await connection.execute(_DELETE_COUNTERS, given)).rowcount


async def raise_floor(connection: AsyncConnection, before: datetime) -> None:
    """Raises the floor to the highest counter that nobody used since the moment, for the next round."""
    await connection.execute(_RAISE_FLOOR, {"before": before})
