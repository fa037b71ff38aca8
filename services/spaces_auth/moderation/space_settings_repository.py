"""SQL on `presence_space_settings`, for writing; the policy reads it (libs/common/access.py)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.spaces import PresenceSpaceSettings
from libs.common.spaces import SpaceKey


async def lock(connection: AsyncConnection, space: SpaceKey) -> None:
    """Waits for another change of the space's settings to end; works where there is no row to lock yet."""
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"settings {space}", 0))))


async def save(connection: AsyncConnection, space: SpaceKey, settings: Mapping[str, Any], by: str) -> None:
    """Stores all settings of a space, by column."""
    values = {**settings, "updated_by": by, "updated_at": func.now()}
    statement = insert(PresenceSpaceSettings).values(space_type=space.space_type, space_id=space.space_id, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["space_type", "space_id"], set_=values))
