"""Comments on documents and their sections, with a place in VR if they were made there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from libs.common.contracts.chat import Edit
from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Socket, Webhook
from libs.common.contracts.schema import ClientId, Cursor, DocumentId, Id, PageSize, choice, text
from libs.common.contracts.schema.characters import VISIBLE_TEXT

COMMENT_TYPES = ("comment", "suggestion", "approval", "question")
MAX_COMMENT = 2000  # characters
Section = Annotated[str, text(200)]
CommentType = Annotated[str, choice(*COMMENT_TYPES)]


@dataclass(frozen=True)
class CommentPosition:
    """A place in the document's space, in metres."""

    x: float
    y: float
    z: float


@dataclass(frozen=True)
class Comment:
    """A comment. `content` is null once it is deleted; `thread_count` counts its replies."""

    id: str
    seq: int
    document_id: str
    user_account: str | None
    display_name: str
    comment_type: str
    content: str | None
    section: str | None
    position: CommentPosition | None
    parent_comment_id: str | None
    thread_count: int
    resolved: bool
    resolved_by: str | None
    resolved_at: datetime | None
    is_edited: bool
    is_deleted: bool
    created_at: datetime
    updated_at: datetime
    client_message_id: str | None


@dataclass(frozen=True)
class PostComment:
    """A new comment. `client_message_id` makes a retry safe: the same id gives the same comment."""

    document_id: DocumentId
    content: Annotated[str, text(MAX_COMMENT, pattern=VISIBLE_TEXT)]
    comment_type: CommentType = "comment"
    section: Section | None = None
    position: CommentPosition | None = None
    parent_comment_id: Id | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class ListComments:
    """Asks for a page of comments that pass all filters, oldest first; `cursor` continues towards newer ones."""

    document_id: DocumentId
    section: Section | None = None
    comment_type: CommentType | None = None
    resolved: bool | None = None
    parent_comment_id: Id | None = None
    cursor: Cursor | None = None
    limit: PageSize = 50


@dataclass(frozen=True)
class CommentId:
    """Names a comment of a document."""

    document_id: DocumentId
    id: Id
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class EditComment:
    """Changes the fields that are given; the others stay as they are."""

    document_id: DocumentId
    id: Id
    content: Annotated[str, text(MAX_COMMENT, pattern=VISIBLE_TEXT)] | None = None
    comment_type: CommentType | None = None
    section: Section | None = None
    position: CommentPosition | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class CommentReply:
    """The comment after the operation."""

    comment: Comment


@dataclass(frozen=True)
class CommentPage:
    """A page of comments, oldest first."""

    comments: list[Comment]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True)
class ListCommentEdits:
    """Asks for former words of a comment, oldest first; `cursor` continues towards newer ones."""

    document_id: DocumentId
    id: Id
    cursor: Cursor | None = None
    limit: PageSize = 50


@dataclass(frozen=True)
class CommentHistory:
    """A page of former words, oldest first; a deleted comment has none."""

    edits: list[Edit]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True)
class CommentChanged:
    """A comment was posted, edited, deleted, resolved or reopened, which `action` says; `comment` is as it is now."""

    action: str
    by: str
    comment: Comment


_COMMENTS = "/api/documents/{document_id}/comments"

post_comment = Operation(
    "documents.post_comment",
    "chat",
    PostComment,
    CommentReply,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("POST", _COMMENTS, status=201),),
    summary="Comment on a document.",
)
list_comments = Operation(
    "documents.list_comments",
    "chat",
    ListComments,
    CommentPage,
    Access.ANYONE,
    Limit(240, 60),
    bindings=(Http("GET", _COMMENTS),),
    summary="A page of a document's comments.",
)
get_comment = Operation(
    "documents.get_comment",
    "chat",
    CommentId,
    CommentReply,
    Access.ANYONE,
    Limit(240, 60),
    bindings=(Http("GET", _COMMENTS + "/{id}"),),
    summary="One comment.",
)
comment_history = Operation(
    "documents.comment_history",
    "chat",
    ListCommentEdits,
    CommentHistory,
    Access.ANYONE,
    Limit(120, 60),
    bindings=(Http("GET", _COMMENTS + "/{id}/history"),),
    summary="The words of a comment before it was edited.",
)
edit_comment = Operation(
    "documents.edit_comment",
    "chat",
    EditComment,
    CommentReply,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("PATCH", _COMMENTS + "/{id}"),),
    summary="Change one's own comment.",
)
delete_comment = Operation(
    "documents.delete_comment",
    "chat",
    CommentId,
    CommentReply,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("DELETE", _COMMENTS + "/{id}"),),
    summary="Take one's own comment back, or as a moderator another's.",
)
resolve_comment = Operation(
    "documents.resolve_comment",
    "chat",
    CommentId,
    CommentReply,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("POST", _COMMENTS + "/{id}/resolve"),),
    summary="Mark a comment as dealt with.",
)
reopen_comment = Operation(
    "documents.reopen_comment",
    "chat",
    CommentId,
    CommentReply,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("POST", _COMMENTS + "/{id}/reopen"),),
    summary="Take the mark back.",
)

comment_changed = Event(
    "documents.comment_changed",
    CommentChanged,
    bindings=(Socket("document-comment"), Webhook("comment")),
    summary="A document was commented on, or a comment changed.",
)

RECORDS = (
    post_comment, list_comments, get_comment, comment_history, edit_comment, delete_comment, resolve_comment,
    reopen_comment, comment_changed,
)  # fmt: skip
