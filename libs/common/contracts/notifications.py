"""How much of a space one wants to hear of, how far one has read, and what one was notified of."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from marshmallow import fields, validate
from msgspec import Raw, Struct

from libs.common.contracts.registry import Access, Http, Limit, Operation, Signal, Socket
from libs.common.contracts.schema import ClientId, Cursor, Id, PageSize, SpaceId, SpaceType

LEVELS = ("all", "mentions", "none")
MOST_UNREAD = 1000  # counting ends here; a front end shows "999+"


class LevelField(fields.String):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "validate": validate.OneOf(LEVELS)})


@dataclass(frozen=True)
class GetSubscription:
    space_type: SpaceType
    space_id: SpaceId


@dataclass(frozen=True)
class SetSubscription:
    """`level`: all (a notification for each message), mentions (and replies; the default), none.

    `client_message_id` makes a retry safe: a command that comes again late does not undo a newer one.
    """

    space_type: SpaceType
    space_id: SpaceId
    level: Annotated[str, LevelField]
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class ChatSubscription:
    """`unread` counts others' messages after the read cursor, replies apart; at most 1000."""

    space_type: str
    space_id: str
    level: str
    last_read_message_id: str | None
    last_read_seq: int
    unread: int


@dataclass(frozen=True)
class MarkRead:
    """Read up to and with `message_id`; with `thread_id` only the replies to that message. Never goes back."""

    space_type: SpaceType
    space_id: SpaceId
    message_id: Id
    thread_id: Id | None = None


@dataclass(frozen=True)
class ReadState:
    """`unread` of the space, or with `thread_id` of that thread; at most 1000."""

    last_read_message_id: str
    last_read_seq: int
    unread: int
    thread_id: str | None = None


@dataclass(frozen=True)
class ListNotifications:
    unread: bool = False
    limit: PageSize = 50
    cursor: Cursor | None = None


@dataclass(frozen=True)
class Notification:
    """`kind` is mention, reply or message. `content` is what the message says now; null once it is deleted."""

    id: str
    kind: str
    space_type: str
    space_id: str
    subspace: str
    message_id: str
    by: str
    content: str | None
    created_at: datetime
    read_at: datetime | None


@dataclass(frozen=True)
class SpaceUnread:
    """`notifications` not yet read, and others' unread `messages` (at most 1000)."""

    space_type: str
    space_id: str
    notifications: int
    messages: int


@dataclass(frozen=True)
class Notifications:
    """Newest first, of the spaces that the caller may still see."""

    notifications: list[Notification]
    unread: list[SpaceUnread]
    next_cursor: str | None


@dataclass(frozen=True)
class ReadNotifications:
    """Those named, at most 200; without `ids` all of them."""

    ids: list[Id] | None = None


@dataclass(frozen=True)
class NotificationsRead:
    read: int


class Mention(Struct):
    """A message that names the account, or answers it. `kind` is mention or reply; `by` a display name."""

    kind: str
    space_type: str
    space_id: str
    subspace: str
    message_id: str
    by: str
    content: str
    seq: int


class ToAccount(Struct):
    """What goes from any process to every replica: a socket event for each socket of the account."""

    account: str
    event: str
    data: Raw


get_subscription = Operation(
    "chat.get_subscription",
    "chat",
    GetSubscription,
    ChatSubscription,
    Access.ACCOUNT,
    Limit(120, 60),
    bindings=(Http("GET", "/api/chat/{space_type}/{space_id}/subscription"),),
    summary="The caller's notification level, read cursor and unread count in a space.",
)
set_subscription = Operation(
    "chat.set_subscription",
    "chat",
    SetSubscription,
    ChatSubscription,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("PUT", "/api/chat/{space_type}/{space_id}/subscription"),),
    summary="How much of a space the caller wants to hear of.",
)
mark_read = Operation(
    "chat.mark_read",
    "chat",
    MarkRead,
    ReadState,
    Access.ACCOUNT,
    Limit(240, 60),
    writes=True,
    bindings=(
        Http("POST", "/api/chat/{space_type}/{space_id}/read"),
        Socket("chat-read", rename={"messageId": "message_id", "threadId": "thread_id"}),
    ),
    summary="Move the caller's read cursor.",
)
list_notifications = Operation(
    "chat.list_notifications",
    "chat",
    ListNotifications,
    Notifications,
    Access.ACCOUNT,
    Limit(120, 60),
    bindings=(Http("GET", "/api/notifications"),),
    summary="Mentions of and replies to the caller, and unread counts per space.",
)
read_notifications = Operation(
    "chat.read_notifications",
    "chat",
    ReadNotifications,
    NotificationsRead,
    Access.ACCOUNT,
    Limit(120, 60),
    writes=True,
    bindings=(Http("POST", "/api/notifications/read"),),
    summary="Mark notifications as read.",
)

mention = Signal("mention", Mention, "server", "The account was mentioned or answered, in whatever space.")

RECORDS = (
    get_subscription, set_subscription, mark_read, list_notifications, read_notifications, mention,
)  # fmt: skip
