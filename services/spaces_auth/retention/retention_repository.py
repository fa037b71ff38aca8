"""What spaces_auth keeps for a time only, by the column that says when; and how large every table is."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

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
from libs.common.db.pruning import Moment

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
# What lies in partitions is told as its table.
_SIZES = text("""
SELECT relname AS table, CASE relkind WHEN 'p'
  THEN (SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree(oid) WHERE isleaf)
  ELSE pg_total_relation_size(oid) END AS bytes
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
""")


async def sizes(connection: AsyncConnection) -> dict[str, int]:
    """Returns the bytes of each table, with its indexes and partitions."""
    return {row.table: int(row.bytes) for row in await connection.execute(_SIZES)}
