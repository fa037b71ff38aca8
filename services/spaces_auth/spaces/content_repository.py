"""SQL on the content behind one space."""

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.spaces import SpaceKey


async def content_of(connection: AsyncConnection, space: SpaceKey) -> Row[Any] | None:
    """Title and so on of one space's content, whoever may see it; None where no content is behind it."""
    tables = {
        "post": """SELECT coalesce(title, permlink) AS display_name, coalesce(description, '') AS description, type,
                   author AS creator, votes, rating::float8 AS rating, created_at FROM posts
                   WHERE author = split_part(:space_id, '/', 1) AND permlink = split_part(:space_id, '/', 2)""",
        "document": """SELECT coalesce(nullif(title, ''), space_id) AS display_name, '' AS description,
                       'document' AS type, creator, 0 AS votes, 0::float8 AS rating, created_at
                       FROM collaboration_documents WHERE space_id = :space_id""",
    }
    query = tables.get(space.space_type)
    if query is None:
        return None
    return (await connection.execute(text(query), {"space_id": space.space_id})).one_or_none()
