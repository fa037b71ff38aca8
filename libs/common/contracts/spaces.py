"""Spaces: listing, details and joining; reviews of their members; and realtime's reports of stays."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Shared, Webhook
from libs.common.contracts.schema import (
    SETTINGS_OF_SPACE,
    STORABLE,
    Cursor,
    PageSize,
    SpaceId,
    SpaceType,
    Subspace,
    at_most,
    choice,
    integer,
    text,
)
from libs.common.contracts.voice import ICE_SERVERS, TurnCredentials


@dataclass(frozen=True)
class Capacity:
    """The number of sockets in a space, and of those it may hold."""

    used: int
    total: int
    available: int


@dataclass(frozen=True)
class SpaceSummary:
    """An item of `GET /api/spaces`. `type` is the post's content type (360, aframe, ...)."""

    space_type: str
    space_id: str
    display_name: str
    description: str
    type: str
    creator: str | None
    votes: int
    rating: float
    active_users: int
    capacity: Capacity
    settings: dict[str, Any] = field(metadata=SETTINGS_OF_SPACE)
    created_at: datetime | None


@dataclass(frozen=True)
class ListSpaces:
    """Filters of a list. `space_type` is ours (post, document, ...), `type` the content's (360, vrml, ...).

    `q` finds spaces that hold all its words. `include_events` adds events that are
    not over, by their start, and communities, with `sort=active`.
    """

    type: Annotated[str, text(32)] | None = None
    space_type: Annotated[str, text(16)] | None = None
    q: Annotated[str, text(128)] | None = None
    sort: Annotated[str, choice("active", "recent", "votes")] = "active"
    limit: PageSize = 50
    offset: Annotated[int, integer(0, 10_000)] = 0
    cursor: Cursor | None = None
    include_events: bool = False


@dataclass(frozen=True)
class SpaceList:
    """A page of spaces. `total` is exact up to a thousand, beyond it an estimate."""

    spaces: list[SpaceSummary]
    total: int
    next_cursor: str | None


@dataclass(frozen=True)
class GetSpace:
    """Asks for one space."""

    space_type: SpaceType
    space_id: SpaceId


@dataclass(frozen=True)
class ConnectedUser:
    """A socket in the space as everybody sees it. `user_account` is null for a guest."""

    user_account: str | None
    display_name: str
    guest: bool
    subspace: str


@dataclass(frozen=True)
class SpaceDetail(SpaceSummary):
    """A space with the members in it now. `your_role` is the caller's role."""

    connected_users: list[ConnectedUser]
    chat_enabled: bool
    voice_enabled: bool
    max_users: int
    your_role: str


@dataclass(frozen=True)
class Join:
    """Asks to be admitted to a space."""

    space_type: SpaceType
    space_id: SpaceId
    subspace: Subspace = "main"


@dataclass(frozen=True)
class Admitted:
    """The answer to a join. `session_token` is the admission: the caller's identity, this one space, two hours."""

    success: bool
    space: SpaceSummary
    subspace: str
    role: str
    session_token: str
    turn_credentials: TurnCredentials
    ice_servers: list[dict[str, Any]] = field(metadata=ICE_SERVERS)
    websocket_url: str
    capacity: Capacity


@dataclass(frozen=True)
class Authorization:
    """The facts about a space that realtime needs before it lets a socket in. `epoch` is the access epoch.

    Not a message of its own: realtime makes it from a `Reviewed`, or from an admission that still holds.
    """

    role: str
    epoch: int
    max_users: int
    settings: dict[str, Any]
    muted: bool = False
    mute_ends: float | None = None


@dataclass(frozen=True)
class ResolveRoom:
    """A networked-aframe room: a space key, or `author-permlink-subspace`."""

    room: Annotated[str, text(400)]


@dataclass(frozen=True)
class ResolvedRoom:
    """The space and subspace that a room name means."""

    space_type: str
    space_id: str
    subspace: str


@dataclass(frozen=True)
class ResolveDocument:
    """A document's number at the primary."""

    number: Annotated[int, integer(0, 10**18)]


@dataclass(frozen=True)
class ResolvedDocument:
    """The id of the document's space, where it is not the number itself."""

    space_id: str | None


@dataclass(frozen=True)
class PresenceChange:
    """A socket that joins, leaves or is still in a space. `session_id` is its stay, which makes it idempotent.

    `position` in metres, `avatar_data` and `voice` are as they are at that moment.
    """

    session_id: str
    kind: Annotated[str, choice("join", "leave", "heartbeat")]
    space_type: SpaceType
    space_id: SpaceId
    subspace: Subspace
    socket_id: str
    replica_id: str
    user_account: str | None
    guest_id: str | None
    display_name: str
    at: datetime
    reason: str | None = None
    position: dict[str, float] | None = None
    avatar_data: Any = field(default=None, metadata=STORABLE)
    voice: dict[str, bool] | None = None


@dataclass(frozen=True)
class RecordPresence:
    """A batch of what one replica saw."""

    changes: list[PresenceChange] = field(default_factory=list, metadata=at_most(1000))


@dataclass(frozen=True)
class Recorded:
    """The number of changes that were new."""

    recorded: int


@dataclass(frozen=True)
class StayChanged:
    """A stay began or ended. `session_id` is the stay; `user_account` is null for a guest."""

    session_id: str
    user_account: str | None
    guest: bool
    display_name: str
    subspace: str
    reason: str | None = None


@dataclass(frozen=True)
class LeaveSpace:
    """Asks to take all of the caller's sockets out of a space."""

    space_type: SpaceType
    space_id: SpaceId


@dataclass(frozen=True)
class LeftSpace:
    """`ended` is the number of the caller's sockets that are being taken out."""

    success: bool
    ended: int


@dataclass(frozen=True)
class LeaveRequested:
    """A person asked over REST that all their sockets leave. `subject_kind` is account or guest, `subject` its id."""

    subject_kind: str
    subject: str


@dataclass(frozen=True)
class ListSubrooms:
    """Asks for the subspaces of a space."""

    space_type: SpaceType
    space_id: SpaceId


@dataclass(frozen=True)
class Subroom:
    """A subspace and the number of sockets in it."""

    subspace: str
    active_users: int


@dataclass(frozen=True)
class Subrooms:
    """`main`, then every other subspace that has members, the fullest first."""

    subrooms: list[Subroom]


@dataclass(frozen=True)
class ReviewedMember:
    """A socket with the identity in its token. `after_seq` is the `seq` of its snapshot; null while it is entering."""

    socket_id: Annotated[str, text(64)]
    kind: Annotated[str, choice("account", "guest", "service")]
    id: Annotated[str, text(64)]
    operator: bool
    address: Annotated[str, text(64, 0)]
    after_seq: int | None = None


@dataclass(frozen=True)
class Review:
    """Asks which of these sockets may stay in a space, or enter it."""

    space_type: SpaceType
    space_id: SpaceId
    members: list[ReviewedMember] = field(default_factory=list, metadata=at_most(500))


@dataclass(frozen=True)
class Verdict:
    """The decision about one socket. `code` and `reason` are null if it stays; `role` may have changed.

    A mute is looked at again at `mute_ends`, Unix time in seconds; null is for ever.
    """

    socket_id: str
    stays: bool
    role: str
    code: str | None = None
    reason: str | None = None
    muted: bool = False
    mute_ends: float | None = None


@dataclass(frozen=True)
class Reviewed:
    """The decisions, and the space's settings. `epoch` was read before the policy: later changes have a higher one."""

    epoch: int
    max_users: int
    settings: dict[str, Any]
    verdicts: list[Verdict]


list_spaces = Operation(
    "spaces.list",
    "spaces_auth",
    ListSpaces,
    SpaceList,
    Access.ANYONE,
    Limit(120, 60),
    bindings=(Http("GET", "/api/spaces"),),
    summary="Spaces that the caller may see, the lobby first.",
    shared=Shared(("content.", "events.", "moderation.")),
)
get_space = Operation(
    "spaces.get",
    "spaces_auth",
    GetSpace,
    SpaceDetail,
    Access.ANYONE,
    Limit(240, 60),
    bindings=(Http("GET", "/api/spaces/{space_type}/{space_id}"),),
    summary="One space, who is in it, and the caller's role.",
    shared=Shared(("spaces.member_", "content.", "events.", "moderation.")),
)
join = Operation(
    "spaces.join",
    "spaces_auth",
    Join,
    Admitted,
    Access.ANYONE,
    Limit(60, 60),
    writes=True,
    bindings=(Http("POST", "/api/spaces/{space_type}/{space_id}/join"),),
    summary="Admission to a space: a token, TURN credentials, where to connect.",
)
leave = Operation(
    "spaces.leave",
    "spaces_auth",
    LeaveSpace,
    LeftSpace,
    Access.ANYONE,
    Limit(60, 60),
    writes=True,
    bindings=(Http("POST", "/api/spaces/{space_type}/{space_id}/leave"),),
    summary="Take all of the caller's sockets out of a space.",
)
list_subrooms = Operation(
    "spaces.list_subrooms",
    "spaces_auth",
    ListSubrooms,
    Subrooms,
    Access.ANYONE,
    Limit(120, 60),
    bindings=(Http("GET", "/api/spaces/{space_type}/{space_id}/subrooms"),),
    summary="The subspaces in which somebody is.",
    shared=Shared(("spaces.member_", "content.", "events.", "moderation.")),
)
review = Operation(
    "spaces.review",
    "spaces_auth",
    Review,
    Reviewed,
    Access.INTERNAL,
    Limit(6000, 60),
    summary="The members of a space that may stay.",
)
resolve_room = Operation(
    "spaces.resolve_room",
    "spaces_auth",
    ResolveRoom,
    ResolvedRoom,
    Access.INTERNAL,
    Limit(6000, 60),
    summary="The space that a networked-aframe room name means.",
)
resolve_document = Operation(
    "spaces.resolve_document",
    "spaces_auth",
    ResolveDocument,
    ResolvedDocument,
    Access.INTERNAL,
    Limit(6000, 60),
    summary="The space of a document that is named by its number.",
)
record_presence = Operation(
    "spaces.record_presence",
    "spaces_auth",
    RecordPresence,
    Recorded,
    Access.INTERNAL,
    Limit(6000, 60),
    writes=True,
    summary="Records a batch of joins and leaves that a realtime replica saw.",
)

member_joined = Event(
    "spaces.member_joined",
    StayChanged,
    bindings=(Webhook("join"),),
    summary="Someone entered a space.",
)
member_left = Event(
    "spaces.member_left",
    StayChanged,
    bindings=(Webhook("leave"),),
    summary="Someone left a space.",
)
leave_requested = Event("spaces.leave_requested", LeaveRequested, summary="Somebody asked to be taken out of a space.")

RECORDS = (
    list_spaces, get_space, join, leave, list_subrooms, review, resolve_room, resolve_document, record_presence,
    member_joined, member_left, leave_requested,
)  # fmt: skip
