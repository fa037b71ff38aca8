"""SQL on `chat_pace`, which holds when each author wrote last in a space in slow mode."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.spaces import SpaceKey

# In the order of the key, so that two batches cannot wait for each other.
_TAKE_TURNS = sql("""
INSERT INTO chat_pace AS pace (space_type, space_id, author_key, posted_at)
SELECT :space_type, :space_id, author_key, now() FROM unnest(CAST(:author_keys AS text[])) AS author_key
ORDER BY author_key
ON CONFLICT (space_type, space_id, author_key) DO UPDATE SET posted_at = now()
  WHERE pace.posted_at <= now() - make_interval(secs => :seconds)
RETURNING author_key
""")
_WAITS = sql("""
SELECT author_key, :seconds - extract(epoch FROM now() - posted_at) AS wait FROM chat_pace
WHERE space_type = :space_type AND space_id = :space_id AND author_key = ANY(CAST(:author_keys AS text[]))
""")


async def take_turns(
    connection: AsyncConnection, space: SpaceKey, author_keys: Sequence[str], seconds: int
) -> dict[str, float]:
    """Takes a turn for each author who wrote nothing for `seconds`; returns the others with the seconds to wait."""
    given = {**asdict(space), "author_keys": list(author_keys), "seconds": seconds}
    taken = set((await connection.execute(_TAKE_TURNS, given)).scalars())
    late = [author for author in author_keys if author not in taken]
    if not late:
        return {}
    rows = await connection.execute(_WAITS, {**given, "author_keys": late})
    return {row.author_key: max(float(row.wait), 0.0) for row in rows}
