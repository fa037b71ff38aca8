"""SQL on what posts and documents show."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.content import CollaborationDocument, Post, PostContent

LONGEST_TEXT = 64 * 1024  # characters


async def of_post(connection: AsyncConnection, author: str, permlink: str, moment: datetime) -> Row[Any] | None:
    """Returns a post's `tags` and `license` at the primary, with `body` and `details` as Hive had them, null before it
    was asked. `askable` says that it would be asked at `moment`.
    """
    statement = (
        select(
            Post.tags,
            Post.license,
            PostContent.body,
            PostContent.details,
            (Post.asked_at.is_(None) | func.coalesce(Post.due_at <= moment, False)).label("askable"),
        )
        .outerjoin(PostContent, (PostContent.author == Post.author) & (PostContent.permlink == Post.permlink))
        .where(Post.author == author, Post.permlink == permlink)
    )
    return (await connection.execute(statement)).one_or_none()


async def of_document(connection: AsyncConnection, space_id: str) -> Row[Any] | None:
    """Returns the first `LONGEST_TEXT` characters of a document, null where it has no text, and `updated_at`."""
    statement = select(
        func.left(CollaborationDocument.content, LONGEST_TEXT).label("text"),
        func.coalesce(CollaborationDocument.updated_at, CollaborationDocument.last_activity).label("updated_at"),
    )
    return (await connection.execute(statement.where(CollaborationDocument.space_id == space_id))).one_or_none()
