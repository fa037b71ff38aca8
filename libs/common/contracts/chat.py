"""What people write in a space."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Socket, Webhook
from libs.common.contracts.schema import ClientId, Cursor, Id, PageSize, SpaceId, SpaceType, Subspace, integer, text

MAX_CONTENT = 2000  # characters


@dataclass(frozen=True)
class Message:
    """`user_account` is null for a guest, `content` for a deleted message.

    `reactions` maps an emoji to `{count, by}`.
    """

    id: str
    seq: int
    space_type: str
    space_id: str
    subspace: str
    user_account: str | None
    guest: bool
    display_name: str
    message_type: str
    content: str | None
    parent_message_id: str | None
    thread_count: int
    reactions: dict[str, Any]
    mentions: list[str]
    is_edited: bool
    is_deleted: bool
    created_at: datetime
    updated_at: datetime
    client_message_id: str | None


@dataclass(frozen=True)
class PostMessage:
    """`client_message_id` makes a retry safe: the same one gives the same message."""

    space_type: SpaceType
    space_id: SpaceId
    content: Annotated[str, text(MAX_CONTENT)]
    subspace: Subspace = "main"
    message_type: Annotated[str, text(32, pattern=r"[a-z_-]+")] = "text"
    parent_message_id: Id | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class MessageReply:
    message: Message


@dataclass(frozen=True)
class ListMessages:
    """`before` and `after` are message ids; `cursor` continues towards older messages."""

    space_type: SpaceType
    space_id: SpaceId
    subspace: Subspace = "main"
    before: Id | None = None
    after: Id | None = None
    cursor: Cursor | None = None
    parent_message_id: Id | None = None
    limit: PageSize = 50


@dataclass(frozen=True)
class MessagePage:
    """Oldest first."""

    messages: list[Message]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True)
class GetSnapshot:
    space_type: SpaceType
    space_id: SpaceId
    subspace: Subspace = "main"
    limit: Annotated[int, integer(0, 200)] = 50


@dataclass(frozen=True)
class Snapshot:
    """The newest messages, oldest first, and the space's `seq` at the same moment."""

    seq: int
    messages: list[Message] = field(default_factory=list)


post_message = Operation(
    "chat.post_message",
    "chat",
    PostMessage,
    MessageReply,
    Access.ANYONE,
    Limit(120, 60),
    writes=True,
    bindings=(
        Http("POST", "/api/chat/{space_type}/{space_id}/messages", status=201),
        Socket("chat-message", rename={"type": "message_type"}),
    ),
    summary="Write a message; the reply means that it is stored.",
)
list_messages = Operation(
    "chat.list_messages",
    "chat",
    ListMessages,
    MessagePage,
    Access.ANYONE,
    Limit(240, 60),
    bindings=(Http("GET", "/api/chat/{space_type}/{space_id}/messages"),),
    summary="A page of a space's messages.",
)
snapshot = Operation(
    "chat.snapshot",
    "chat",
    GetSnapshot,
    Snapshot,
    Access.INTERNAL,
    Limit(6000, 60),
    summary="Messages and `seq` of one moment, for a joining socket.",
)

message_posted = Event(
    "chat.message_posted",
    Message,
    bindings=(Socket("chat-message"), Webhook("chat", rename={"content": "message"})),
    summary="A message was written.",
)

RECORDS = (post_message, list_messages, snapshot, message_posted)
