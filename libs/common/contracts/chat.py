"""Chat in a space: messages, threads, edits and reactions."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Shared, Socket, Webhook
from libs.common.contracts.schema import (
    ClientId,
    Cursor,
    Id,
    PageSize,
    SpaceId,
    SpaceType,
    Subspace,
    choice,
    integer,
    shape,
    text,
)
from libs.common.contracts.schema.characters import VISIBLE_TEXT

MAX_CONTENT = 2000  # characters
MAX_REACTION = 32  # code points; the longest emoji (a family with skin tones, a flag of a region) have fewer
Content = Annotated[str, text(MAX_CONTENT, pattern=VISIBLE_TEXT)]
Emoji = Annotated[str, text(MAX_REACTION, format="emoji", description="One emoji (one grapheme).")]
MESSAGE_TYPES = ("text", "emote", "image", "link", "file", "voice")
"""What a client may call its message. Others are ours: a guest's "system" message would be taken for one."""


_REACTION = {
    "type": "object",
    "required": ["count", "by"],
    "properties": {
        "count": {"type": "integer"},
        "by": {"type": "array", "items": {"type": "string"}, "description": "The first 20 display names."},
    },
}
REACTIONS = shape(additionalProperties=_REACTION)


@dataclass(frozen=True)
class Message:
    """A message. `user_account` is null for a guest, `content` for a deleted message.

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
    reactions: dict[str, Any] = field(metadata=REACTIONS)
    mentions: list[str]
    is_edited: bool
    is_deleted: bool
    created_at: datetime
    updated_at: datetime
    client_message_id: str | None


@dataclass(frozen=True)
class PostMessage:
    """A new message. `client_message_id` makes a retry safe: the same id gives the same message."""

    space_type: SpaceType
    space_id: SpaceId
    content: Content
    subspace: Subspace = "main"
    message_type: Annotated[str, choice(*MESSAGE_TYPES)] = "text"
    parent_message_id: Id | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class MessageReply:
    """The message after the operation."""

    message: Message


@dataclass(frozen=True)
class MessageId:
    """Names a message. With a space it must be in that space: a socket means the space it is in."""

    id: Id
    space_type: SpaceType | None = None
    space_id: SpaceId | None = None


@dataclass(frozen=True)
class EditMessage:
    """The author's new words. `client_message_id` makes a retry safe: an edit is carried out once."""

    id: Id
    content: Content
    space_type: SpaceType | None = None
    space_id: SpaceId | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class DeleteMessage:
    """Deletes a message. `reason` is for moderators: the webhook `moderation` carries it."""

    id: Id
    reason: Annotated[str, text(300)] | None = None
    space_type: SpaceType | None = None
    space_id: SpaceId | None = None


@dataclass(frozen=True)
class ListThread:
    """Asks for the replies to a message, oldest first; `cursor` continues towards newer ones."""

    id: Id
    cursor: Cursor | None = None
    limit: PageSize = 50
    space_type: SpaceType | None = None
    space_id: SpaceId | None = None


@dataclass(frozen=True)
class Edit:
    """The words of a message until `edited_at`."""

    content: str
    edited_by: str
    edited_at: datetime


@dataclass(frozen=True)
class ListEdits:
    """Asks for former words of a message, oldest first; `cursor` continues towards newer ones."""

    id: Id
    cursor: Cursor | None = None
    limit: PageSize = 50
    space_type: SpaceType | None = None
    space_id: SpaceId | None = None


@dataclass(frozen=True)
class MessageHistory:
    """A page of former words, oldest first; a deleted message has none."""

    edits: list[Edit]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True)
class React:
    """Adds a reaction, or removes it. `emoji` is one emoji (one grapheme), which counts once a person."""

    id: Id
    emoji: Emoji
    remove: bool = False
    space_type: SpaceType | None = None
    space_id: SpaceId | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class Unreact:
    """Takes a reaction back."""

    id: Id
    emoji: Emoji
    space_type: SpaceType | None = None
    space_id: SpaceId | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class Reactions:
    """All reactions of a message: emoji → `{count, by}`; `by` holds the first 20 display names."""

    message_id: str
    reactions: dict[str, Any] = field(metadata=REACTIONS)


@dataclass(frozen=True)
class ReactionChanged:
    """A reaction was added or removed; `reactions` are all of the message's afterwards."""

    message_id: str
    reactions: dict[str, Any] = field(metadata=REACTIONS)
    reaction: str
    removed: bool
    user_account: str | None
    display_name: str


@dataclass(frozen=True)
class MessageEdited:
    """A message was edited; `seq` is that of the edit."""

    id: str
    seq: int
    content: str
    mentions: list[str]
    user_account: str | None
    display_name: str
    parent_message_id: str | None
    updated_at: datetime


@dataclass(frozen=True)
class MessageDeleted:
    """A message was deleted; `seq` is that of the deletion. `deleted_by` is an account; null for a guest."""

    id: str
    seq: int
    parent_message_id: str | None
    user_account: str | None
    deleted_by: str | None
    reason: str | None
    deleted_at: datetime


@dataclass(frozen=True)
class ListMessages:
    """Asks for a page of messages. `before` and `after` are message ids; with both, the page begins at `after`.

    `cursor` continues towards older messages, or with `after` towards newer ones. `q` finds messages that hold
    all its words, newest first on the first page; `-word` excludes.
    """

    space_type: SpaceType
    space_id: SpaceId
    subspace: Subspace = "main"
    before: Id | None = None
    after: Id | None = None
    cursor: Cursor | None = None
    parent_message_id: Id | None = None
    q: Annotated[str, text(200)] | None = None
    limit: PageSize = 50


@dataclass(frozen=True)
class MessagePage:
    """A page of messages, oldest first."""

    messages: list[Message]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True)
class GetSnapshot:
    """Asks for the newest messages and the space's `seq`, for sockets that enter."""

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
    shared=Shared(("chat.", "content.", "events.", "moderation.")),
)
get_message = Operation(
    "chat.get_message",
    "chat",
    MessageId,
    MessageReply,
    Access.ANYONE,
    Limit(240, 60),
    bindings=(Http("GET", "/api/chat/messages/{id}"),),
    summary="One message.",
)
edit_message = Operation(
    "chat.edit_message",
    "chat",
    EditMessage,
    MessageReply,
    Access.ANYONE,
    Limit(60, 60),
    writes=True,
    bindings=(
        Http("PATCH", "/api/chat/messages/{id}"),
        Socket("chat-edit", rename={"messageId": "id"}),
    ),
    summary="Change one's own words; the former ones stay in the history.",
)
delete_message = Operation(
    "chat.delete_message",
    "chat",
    DeleteMessage,
    MessageReply,
    Access.ANYONE,
    Limit(60, 60),
    writes=True,
    bindings=(
        Http("DELETE", "/api/chat/messages/{id}"),
        Socket("chat-delete", rename={"messageId": "id"}),
    ),
    summary="Take one's own words back, or as a moderator another's. The reply is the tombstone.",
)
list_thread = Operation(
    "chat.list_thread",
    "chat",
    ListThread,
    MessagePage,
    Access.ANYONE,
    Limit(240, 60),
    bindings=(Http("GET", "/api/chat/messages/{id}/thread"),),
    summary="Replies to a message.",
)
message_history = Operation(
    "chat.message_history",
    "chat",
    ListEdits,
    MessageHistory,
    Access.ANYONE,
    Limit(120, 60),
    bindings=(Http("GET", "/api/chat/messages/{id}/history"),),
    summary="The words of a message before it was edited.",
)
react = Operation(
    "chat.react",
    "chat",
    React,
    Reactions,
    Access.ANYONE,
    Limit(120, 60),
    writes=True,
    bindings=(
        Http("PUT", "/api/chat/messages/{id}/reactions/{emoji}"),
        Socket("chat-reaction", rename={"messageId": "id", "reaction": "emoji"}),
    ),
    summary="React to a message with an emoji; with `remove`, no more.",
)
unreact = Operation(
    "chat.unreact",
    "chat",
    Unreact,
    Reactions,
    Access.ANYONE,
    Limit(120, 60),
    writes=True,
    bindings=(Http("DELETE", "/api/chat/messages/{id}/reactions/{emoji}"),),
    summary="Take a reaction back.",
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

message_edited = Event(
    "chat.message_edited",
    MessageEdited,
    bindings=(Socket("chat-message-edited"), Webhook("chat_edited", rename={"content": "message"})),
    summary="A message was edited.",
)
message_deleted = Event(
    "chat.message_deleted",
    MessageDeleted,
    bindings=(Socket("chat-message-deleted"), Webhook("chat_deleted")),
    summary="A message was deleted by its author.",
)
message_removed = Event(
    "chat.message_removed",
    MessageDeleted,
    bindings=(
        Socket("chat-message-deleted"),
        Webhook("chat_deleted", without=("deleted_by", "reason")),
        Webhook("moderation", rename={"id": "message_id"}, for_moderators=True),
    ),
    summary="A message was deleted by a moderator.",
)
reaction_changed = Event(
    "chat.reaction_changed",
    ReactionChanged,
    bindings=(Socket("chat-reaction", rename={"message_id": "messageId"}), Webhook("reaction")),
    summary="Somebody reacted to a message, or took it back.",
)

RECORDS = (
    post_message, list_messages, get_message, edit_message, delete_message, list_thread, message_history, react,
    unreact, snapshot, message_posted, message_edited, message_deleted, message_removed, reaction_changed,
)  # fmt: skip
