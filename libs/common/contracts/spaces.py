"""Spaces: found, looked at, joined; and what realtime reports of who is in them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Webhook
from libs.common.contracts.schema import Cursor, PageSize, SpaceId, SpaceType, Subspace, at_most, integer, text
from libs.common.contracts.voice import TurnCredentials


@dataclass(frozen=True)
class Capacity:
    """In sockets."""

    used: int
    total: int
    available: int


@dataclass(frozen=True)
class SpaceSummary:
    """A row of `GET /api/spaces`. `type` is the post's content type (360, aframe, ...)."""

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
    settings: dict[str, Any]
    created_at: datetime | None


@dataclass(frozen=True)
class ListSpaces:
    """`space_type` is ours (post, document, ...), `type` the content's (360, vrml, ...).

    `q` finds what holds all its words. `include_events` adds events and communities that are
    set up or have people, with `sort=active`; they have no content behind them.
    """

    type: Annotated[str, text(32)] | None = None
    space_type: Annotated[str, text(16)] | None = None
    q: Annotated[str, text(128)] | None = None
    sort: Annotated[str, text(8, pattern="active|recent|votes")] = "active"
    limit: PageSize = 50
    offset: Annotated[int, integer(0, 10_000)] = 0
    cursor: Cursor | None = None
    include_events: bool = False


@dataclass(frozen=True)
class SpaceList:
    """`total` is exact up to a thousand, beyond it an estimate."""

    spaces: list[SpaceSummary]
    total: int
    next_cursor: str | None


@dataclass(frozen=True)
class GetSpace:
    space_type: SpaceType
    space_id: SpaceId


@dataclass(frozen=True)
class ConnectedUser:
    user_account: str | None
    display_name: str
    guest: bool
    subspace: str


@dataclass(frozen=True)
class SpaceDetail(SpaceSummary):
    connected_users: list[ConnectedUser]
    chat_enabled: bool
    voice_enabled: bool
    max_users: int
    your_role: str


@dataclass(frozen=True)
class Join:
    space_type: SpaceType
    space_id: SpaceId
    subspace: Subspace = "main"


@dataclass(frozen=True)
class Admitted:
    """`session_token` is the admission: the same identity, this one space, for two hours."""

    success: bool
    space: SpaceSummary
    subspace: str
    role: str
    session_token: str
    turn_credentials: TurnCredentials
    ice_servers: list[dict[str, Any]]
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


@dataclass(frozen=True)
class ResolveRoom:
    """A networked-aframe room: a space key, or `author-permlink-subspace`."""

    room: Annotated[str, text(400)]


@dataclass(frozen=True)
class ResolvedRoom:
    space_type: str
    space_id: str
    subspace: str


@dataclass(frozen=True)
class PresenceChange:
    """One socket joining, leaving or still being there. `session_id` makes it idempotent."""

    session_id: str
    kind: Annotated[str, text(9, pattern="join|leave|heartbeat")]
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


@dataclass(frozen=True)
class RecordPresence:
    changes: list[PresenceChange] = field(default_factory=list, metadata=at_most(1000))


@dataclass(frozen=True)
class Recorded:
    """How many of the changes were news."""

    recorded: int


@dataclass(frozen=True)
class StayChanged:
    """Someone entered or left. `user_account` is null for a guest."""

    session_id: str
    user_account: str | None
    guest: bool
    display_name: str
    subspace: str
    reason: str | None = None


@dataclass(frozen=True)
class LeaveSpace:
    space_type: SpaceType
    space_id: SpaceId


@dataclass(frozen=True)
class LeftSpace:
    """`ended` is how many of the caller's sockets are being taken out."""

    success: bool
    ended: int


@dataclass(frozen=True)
class LeaveRequested:
    """The person asked, over REST, that all their sockets leave."""

    subject_kind: str
    subject: str


@dataclass(frozen=True)
class ListSubrooms:
    space_type: SpaceType
    space_id: SpaceId


@dataclass(frozen=True)
class Subroom:
    subspace: str
    active_users: int


@dataclass(frozen=True)
class Subrooms:
    """`main`, and every other in which somebody is, most first."""

    subrooms: list[Subroom]


@dataclass(frozen=True)
class ReviewedMember:
    """A socket in the space, as its token says who it is. `after_seq` is its snapshot's number; null while entering."""

    socket_id: Annotated[str, text(64)]
    kind: Annotated[str, text(7, pattern="account|guest|service")]
    id: Annotated[str, text(64)]
    operator: bool
    address: Annotated[str, text(64, 0)]
    after_seq: int | None = None


@dataclass(frozen=True)
class Review:
    space_type: SpaceType
    space_id: SpaceId
    members: list[ReviewedMember] = field(default_factory=list, metadata=at_most(500))


@dataclass(frozen=True)
class Verdict:
    """`code` and `reason` are null for who stays, whose `role` may be another than before."""

    socket_id: str
    stays: bool
    role: str
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Reviewed:
    """`epoch` was read before the policy: what changed since has a higher one."""

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
)
review = Operation(
    "spaces.review",
    "spaces_auth",
    Review,
    Reviewed,
    Access.INTERNAL,
    Limit(6000, 60),
    summary="Which of these members of a space may stay.",
)
resolve_room = Operation(
    "spaces.resolve_room",
    "spaces_auth",
    ResolveRoom,
    ResolvedRoom,
    Access.INTERNAL,
    Limit(6000, 60),
    summary="Which space a networked-aframe room name means.",
)
record_presence = Operation(
    "spaces.record_presence",
    "spaces_auth",
    RecordPresence,
    Recorded,
    Access.INTERNAL,
    Limit(6000, 60),
    writes=True,
    summary="What a realtime replica saw, batched; writes sessions and the log.",
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
    list_spaces, get_space, join, leave, list_subrooms, review, resolve_room, record_presence,
    member_joined, member_left, leave_requested,
)  # fmt: skip
