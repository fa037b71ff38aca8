"""SQL on `chat_pace`, which holds when each author, and each address of guests, wrote last in a space in slow mode."""

from collections.abc import Collection, Sequence
from dataclasses import asdict

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.spaces import SpaceKey

# In the order of the key, so that two batches cannot wait for each other. A row of long ago is there to be locked.
_MAKE = sql("""
INSERT INTO chat_pace (space_type, space_id, author_key, posted_at)
SELECT :space_type, :space_id, author_key, to_timestamp(0) FROM unnest(CAST(:author_keys AS text[])) AS author_key
ORDER BY author_key ON CONFLICT (space_type, space_id, author_key) DO NOTHING
""")
_LOCK = sql("""
SELECT author_key, extract(epoch FROM now() - posted_at) AS ago FROM chat_pace
WHERE space_type = :space_type AND space_id = :space_id AND author_key = ANY(CAST(:author_keys AS text[]))
ORDER BY author_key FOR UPDATE
""")
_TAKE = sql("""
UPDATE chat_pace SET posted_at = now()
WHERE space_type = :space_type AND space_id = :space_id AND author_key = ANY(CAST(:author_keys AS text[]))
""")


async def lock(connection: AsyncConnection, space: SpaceKey, keys: Collection[str]) -> dict[str, float]:
    """Locks the turns of these keys; returns for each the seconds since it was taken last."""
    given = {**asdict(space), "author_keys": sorted(keys)}
    await connection.execute(_MAKE, given)
    return {row.author_key: float(row.ago) for row in await connection.execute(_LOCK, given)}


async def take(connection: AsyncConnection, space: SpaceKey, keys: Sequence[str]) -> None:
    """Takes turns that are locked."""
    if keys:
        await connection.execute(_TAKE, {**asdict(space), "author_keys": sorted(keys)})
