"""SQL on the content behind spaces: posts and documents."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.content import CollaborationDocument, Post
from libs.common.spaces import SpaceKey

_CONTENT = {
    "post": text("""SELECT coalesce(title, permlink) AS display_name, coalesce(description, '') AS description, type,
                      author AS creator, votes, rating::float8 AS rating, created_at FROM posts
                    WHERE author = split_part(:space_id, '/', 1) AND permlink = split_part(:space_id, '/', 2)"""),
    "document": text("""SELECT coalesce(nullif(title, ''), space_id) AS display_name, '' AS description,
                          'document' AS type, creator, 0 AS votes, 0::float8 AS rating, created_at
                        FROM collaboration_documents WHERE space_id = :space_id"""),
    "event": text("""SELECT title AS display_name, description, 'event' AS type, host AS creator, 0 AS votes,
                       0::float8 AS rating, created_at FROM scheduled_events WHERE id = :space_id"""),
    "community": text("""SELECT title AS display_name, about AS description, 'community' AS type, NULL AS creator,
                           0 AS votes, 0::float8 AS rating, NULL::timestamptz AS created_at
                         FROM communities WHERE name = :space_id"""),
}


async def content_of(connection: AsyncConnection, space: SpaceKey) -> Row[Any] | None:
    """Returns title, description and the like of a space's content, public or not; None if it has no content."""
    query = _CONTENT.get(space.space_type)
    if query is None:
        return None
    return (await connection.execute(query, {"space_id": space.space_id})).one_or_none()


async def document_by_number(connection: AsyncConnection, number: int) -> str | None:
    """Returns the space id of a document named by owner and permlink that has this number; None if none has."""
    statement = select(CollaborationDocument.space_id).where(CollaborationDocument.number == number)
    return (await connection.execute(statement.order_by(CollaborationDocument.space_id).limit(1))).scalar_one_or_none()


async def existing_posts(connection: AsyncConnection, names: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns those of `names`, each an author and a permlink, that are posts."""
    statement = select(Post.author, Post.permlink).where(tuple_(Post.author, Post.permlink).in_(names))
    return [(row.author, row.permlink) for row in await connection.execute(statement)]
