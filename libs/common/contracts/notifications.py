"""Notification levels, read cursors and unread counts, and an account's notifications."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from msgspec import Raw, Struct

from libs.common.contracts.registry import Access, Http, Limit, Operation, Signal, Socket
from libs.common.contracts.schema import ClientId, Cursor, Id, PageSize, SpaceId, SpaceType, at_most, choice

LEVELS = ("all", "mentions", "none")
MOST_IDS = 200  # of a command
MOST_UNREAD = 1000  # counting ends here; a front end shows "999+"
MOST_SUBSPACES = 100  # of a space, whose cursors are told and whose messages are counted


@dataclass(frozen=True)
class GetSubscription:
    """Asks for the caller's subscription to a space."""

    space_type: SpaceType
    space_id: SpaceId


@dataclass(frozen=True)
class SetSubscription:
    """Sets the level: all (a notification for each message), mentions (and replies; the default), none.

    `client_message_id` makes a retry safe: a command that comes again late does not undo a newer one.
    """

    space_type: SpaceType
    space_id: SpaceId
    level: Annotated[str, choice(*LEVELS)]
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class SubspaceCursor:
    """How far a subspace was read. `unread` counts others' messages after that, without replies; at most 1000."""

    subspace: str
    last_read_message_id: str | None
    last_read_seq: int
    unread: int


@dataclass(frozen=True)
class ChatSubscription:
    """A subscription. `last_read_*` is the newest of the cursors in `subspaces`, of which at most 100 are listed;
    `unread` is what is unread in all of those, at most 1000.
    """

    space_type: str
    space_id: str
    level: str
    last_read_message_id: str | None
    last_read_seq: int
    unread: int
    subspaces: list[SubspaceCursor]


@dataclass(frozen=True)
class MarkRead:
    """Moves the read cursor of the message's subspace to `message_id`, forwards only; with `thread_id`, that of the
    thread alone.
    """

    space_type: SpaceType
    space_id: SpaceId
    message_id: Id
    thread_id: Id | None = None


@dataclass(frozen=True)
class ReadState:
    """A read cursor, of the `subspace` or with `thread_id` of that thread. `unread` is at most 1000."""

    last_read_message_id: str
    last_read_seq: int
    unread: int
    subspace: str
    thread_id: str | None = None


@dataclass(frozen=True)
class ListNotifications:
    """Asks for the caller's notifications, newest first; `unread` leaves out those that were read."""

    unread: bool = False
    limit: PageSize = 50
    cursor: Cursor | None = None


@dataclass(frozen=True)
class Notification:
    """A notification of a message, or of a comment on a document: of the two ids the other is null.

    `kind` is mention, reply or message; `content` is null if what it is about is deleted. An event's has
    neither id and the event's title as `content`; it is an event_reminder, an event_place (who waited has one now) or
    an event_cancelled. Of the account's own webhooks there are webhook_failing, webhook_ends_soon and webhook_disabled,
    with the endpoint's host in `by`, what happened and why as `content`, and in `link` the page of the webhook.
    """

    id: str
    kind: str
    space_type: str
    space_id: str
    subspace: str
    message_id: str | None
    comment_id: str | None
    by: str
    content: str | None
    created_at: datetime
    read_at: datetime | None
    link: str | None = None


@dataclass(frozen=True)
class SpaceUnread:
    """Counts of a space: unread `notifications`, and others' unread `messages` (at most 1000)."""

    space_type: str
    space_id: str
    notifications: int
    messages: int


@dataclass(frozen=True)
class Notifications:
    """A page, newest first, and counts by space, without spaces that the caller may not see any more."""

    notifications: list[Notification]
    unread: list[SpaceUnread]
    next_cursor: str | None


@dataclass(frozen=True)
class ReadNotifications:
    """Marks notifications as read: at most `MOST_IDS` by `ids`, or all of them without."""

    ids: list[Id] | None = field(default=None, metadata=at_most(MOST_IDS))


@dataclass(frozen=True)
class NotificationsRead:
    """The number of notifications that were unread until now."""

    read: int


class Mention(Struct):
    """A message that names the account or answers it, or a document's comment that names it: the other id is null.

    `kind` is mention or reply; `by` a display name.
    """

    kind: str
    space_type: str
    space_id: str
    subspace: str
    message_id: str | None
    comment_id: str | None
    by: str
    content: str
    seq: int


class ToAccount(Struct):
    """A socket event for every socket of an account, published to all replicas. `data` is its payload as JSON."""

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
    summary="Set the caller's notification level in a space.",
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
