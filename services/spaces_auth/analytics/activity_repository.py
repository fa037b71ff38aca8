"""SQL on `space_activity`, for writing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.spaces import SpaceActivity


async def insert(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Inserts rows, by column; leaves out those whose `event_id` is stored already."""
    statement = pg_insert(SpaceActivity).on_conflict_do_nothing(index_elements=[SpaceActivity.event_id])
    await connection.execute(statement, rows)
