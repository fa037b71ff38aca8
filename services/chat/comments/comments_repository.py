"""SQL on `document_comments` and their edits."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Select, delete, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.contracts.chat import Edit
from libs.common.contracts.documents import Comment, CommentPosition, ListComments
from libs.common.db.models.chat import DocumentComment as D
from libs.common.db.models.chat import DocumentCommentEdit as E
from libs.common.errors import CONFLICT, NOT_FOUND, PresenceError
from libs.common.ids import new_id
from services.chat.messages import edits_repository

_COPIED = (
    D.id, D.seq, D.document_id, D.user_account, D.display_name, D.comment_type, D.content, D.section, D.position,
    D.parent_comment_id, D.thread_count, D.resolved_by, D.resolved_at, D.is_edited, D.is_deleted, D.created_at,
    D.updated_at, D.client_message_id,
)  # fmt: skip
_CHANGING = (
    "comment_type",
    "content",
    "section",
    "resolved_by",
    "resolved_at",
    "is_edited",
    "is_deleted",
    "updated_at",
)


@dataclass(frozen=True, slots=True)
class StoredComment:
    """A comment with the `Identity.key` of its author, which is not shown."""

    comment: Comment
    author_key: str


async def insert(connection: AsyncConnection, comment: Comment, author_key: str) -> None:
    """Stores a new comment."""
    values = {column.key: getattr(comment, column.key) for column in _COPIED}
    values["position"] = _json(comment.position)
    await connection.execute(pg_insert(D).values(author_key=author_key, **values))


async def store(connection: AsyncConnection, comment: Comment) -> None:
    """Stores the fields of a comment that can change."""
    values = {name: getattr(comment, name) for name in _CHANGING}
    await connection.execute(update(D).where(D.id == comment.id).values(**values, position=_json(comment.position)))


async def count_reply(connection: AsyncConnection, document_id: str, parent_id: str, by: int) -> None:
    """Changes the parent's `thread_count`. Raises `not_found` if it is of another document, `conflict` if deleted."""
    statement = (
        update(D)
        .where(D.id == parent_id, D.document_id == document_id)
        .values(thread_count=D.thread_count + by)
        .returning(D.is_deleted)
    )
    is_deleted = (await connection.execute(statement)).scalar_one_or_none()
    if is_deleted is None:
        raise PresenceError(NOT_FOUND, "There is no such comment to reply to.")
    if is_deleted and by > 0:
        raise PresenceError(CONFLICT, "That comment was deleted.")


async def get(connection: AsyncConnection, document_id: str, comment_id: str) -> StoredComment:
    """Returns a comment of the document. Raises `not_found`."""
    return await _one(connection, _of(document_id, comment_id))


async def lock(connection: AsyncConnection, document_id: str, comment_id: str) -> StoredComment:
    """Locks a comment until the transaction ends, and returns it. Raises `not_found`."""
    return await _one(connection, _of(document_id, comment_id).with_for_update())


def _of(document_id: str, comment_id: str) -> Select[Any]:
    return select(*_COPIED, D.author_key).where(D.id == comment_id, D.document_id == document_id)


async def _one(connection: AsyncConnection, statement: Select[Any]) -> StoredComment:
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise PresenceError(NOT_FOUND)
    stored = row._asdict()
    author_key = stored.pop("author_key")
    return StoredComment(_comment(stored), author_key)


async def keep_edit(connection: AsyncConnection, before: Comment, by: str) -> None:
    """Keeps the words that a comment has now, for its history."""
    former = {"comment_id": before.id, "id": new_id(), "content": before.content, "edited_by": by}
    await connection.execute(pg_insert(E).values(**former, edited_at=now()))


async def edits(
    connection: AsyncConnection, comment_id: str, after: str | None, limit: int
) -> tuple[list[Edit], str | None]:
    """Returns at most `limit` edits, oldest first, and the id after which the next page begins if there is one."""
    statement = select(E.id, E.content, E.edited_by, E.edited_at).where(E.comment_id == comment_id)
    if after:
        statement = statement.where(E.id > after)
    rows = (await connection.execute(statement.order_by(E.id).limit(limit + 1))).all()
    return edits_repository.page_of(rows, limit)


async def forget_edits(connection: AsyncConnection, comment_id: str) -> None:
    """Deletes the former words of a comment."""
    await connection.execute(delete(E).where(E.comment_id == comment_id))


async def page(connection: AsyncConnection, request: ListComments, after_seq: int) -> tuple[list[Comment], bool]:
    """Returns a page of comments with a greater `seq`, oldest first; true if there are more."""
    statement = select(*_COPIED).where(D.document_id == request.document_id, D.seq > after_seq)
    for column, wanted in (
        (D.section, request.section),
        (D.comment_type, request.comment_type),
        (D.parent_comment_id, request.parent_comment_id),
    ):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if request.resolved is not None:
        statement = statement.where(D.resolved_at.is_not(None) if request.resolved else D.resolved_at.is_(None))
    rows = (await connection.execute(statement.order_by(D.seq).limit(request.limit + 1))).all()
    return [_comment(row._asdict()) for row in rows[: request.limit]], len(rows) > request.limit


def _comment(stored: dict[str, Any]) -> Comment:
    position = stored.pop("position")
    resolved = stored["resolved_at"] is not None
    return Comment(**stored, position=CommentPosition(**position) if position else None, resolved=resolved)


def _json(position: CommentPosition | None) -> dict[str, float] | None:
    return asdict(position) if position else None
