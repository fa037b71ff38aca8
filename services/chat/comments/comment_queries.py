"""Reads comments; the document's permissions decide who may. Nobody who writes waits for it."""

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.contracts.documents import (
    CommentHistory,
    CommentId,
    CommentPage,
    CommentReply,
    ListCommentEdits,
    ListComments,
)
from libs.common.db import cursor
from libs.common.db.engine import Database
from libs.common.spaces import SpaceKey
from services.chat.comments import comments_repository as repository
from services.chat.rules.policy import Policy


class CommentQueryHandlers:
    """Each raises as the policy does for entering the document's space."""

    def __init__(self, reads: Database, policy: Policy) -> None:
        self._reads = reads
        self._policy = policy

    async def list_comments(self, caller: Caller, request: ListComments) -> CommentPage:
        """Returns a page, oldest first."""
        after = cursor.decode(request.cursor, tuple[cursor.Number])[0] if request.cursor else 0
        async with self._reads.read() as connection:
            await self._policy.require(connection, caller, space_of(request.document_id), Action.ENTER)
            comments, more = await repository.page(connection, request, after)
        return CommentPage(comments, more, cursor.encode(comments[-1].seq) if more else None)

    async def get_comment(self, caller: Caller, request: CommentId) -> CommentReply:
        """Returns one comment. Raises `not_found` if it is not of that document."""
        async with self._reads.read() as connection:
            return await read_comment(connection, self._policy, caller, request)

    async def history(self, caller: Caller, request: ListCommentEdits) -> CommentHistory:
        """Returns a page of a comment's former words, oldest first."""
        after = cursor.decode_id(request.cursor) if request.cursor else None
        async with self._reads.read() as connection:
            await self._policy.require(connection, caller, space_of(request.document_id), Action.ENTER)
            stored = await repository.get(connection, request.document_id, request.id)
            edits, following = await repository.edits(connection, stored.comment.id, after, request.limit)
        return CommentHistory(edits, following is not None, following and cursor.encode(following))


async def read_comment(connection: AsyncConnection, policy: Policy, caller: Caller, request: CommentId) -> CommentReply:
    """Returns one comment. Raises `not_found` if it is not of that document."""
    await policy.require(connection, caller, space_of(request.document_id), Action.ENTER)
    return CommentReply((await repository.get(connection, request.document_id, request.id)).comment)


def space_of(document_id: str) -> SpaceKey:
    """Returns the document's space."""
    return SpaceKey.parse("document", document_id)
