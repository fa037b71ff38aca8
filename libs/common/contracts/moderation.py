"""Moderation by a space's owner and moderators: settings, roles, bans, mutes and kicks, all kept in an audit trail.

The events here change who may be in a space and what people may do there: each raises the space's access epoch, and
realtime asks `spaces.review` about its members (docs/spaces.md).
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from msgspec import Struct

from libs.common.contracts import events
from libs.common.contracts.auth import Empty
from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Signal, Socket, Webhook
from libs.common.contracts.schema import (
    FREE,
    FREE_JSON,
    Account,
    ClientId,
    Cursor,
    Id,
    PageSize,
    SpaceId,
    SpaceType,
    at_most,
    choice,
    integer,
    shape,
    storable,
    text,
)
from libs.common.contracts.spaces import leave_requested

MAX_USERS = 10_000  # sockets that a space's owner may allow at once
MAX_SLOW_MODE = 21_600  # seconds between two messages of one person; six hours
MAX_SETTINGS_BYTES = 8192  # of `settings`, as JSON
AUDIO_MODES = ("ambient", "spatial", "stage", "announcement")  # services/realtime/voice.py says who hears whom


class FreeChannel(StrEnum):
    """The channels of a space that carry whatever a client likes, unseen by chat's filters: an owner can close each."""

    ENTITY_EVENTS = "entity-events"  # `entity-event`, and what plain WebSockets say with a type of their own
    NAF = "naf"  # networked-aframe's `send` and `broadcast`
    AVATARS = "avatars"  # `avatar_data`
    THINGS = "things"  # `thing-make`, `thing-hold`, `thing-set`
    POSE_ENTITIES = "pose-entities"  # `entities` of `aframe-update`


AddressRange = Annotated[
    str,
    text(
        64,
        pattern="[0-9A-Fa-f:.]+(/[0-9]{1,3})?",
        format="address-range",
        description="An IP address, or a range of them in CIDR notation; for operators.",
    ),
]
Reason = Annotated[str, text(500)]
GivableRole = Annotated[str, choice("moderator", "member")]
MOST_METRES = 1_000_000  # of a spawn point from the origin, on each axis
_FREE = {"additionalProperties": {"$ref": f"#/components/schemas/{FREE_JSON}"}}
_AUDIO_SHAPE: dict[str, Any] = {"required": ["mode"], "properties": {"mode": {"enum": list(AUDIO_MODES)}}}
AUDIO = storable(**_AUDIO_SHAPE)
_METRES = {"type": "number", "minimum": -MOST_METRES, "maximum": MOST_METRES}
_SPAWN_SHAPE: dict[str, Any] = {"required": ["x", "y", "z"], "properties": dict.fromkeys("xyz", _METRES)}
SPAWN = storable(**_SPAWN_SHAPE)
_CHANNELS = {"type": ["array", "null"], "items": {"enum": [str(channel) for channel in FreeChannel]}}
_SETTINGS_SHAPE: dict[str, Any] = {"properties": {"closed_channels": _CHANNELS}}
SETTINGS = storable(**_SETTINGS_SHAPE)


@dataclass(frozen=True)
class UpdateSettings:
    """Changes the settings that are given. `settings` is merged by its top-level names; a null removes a name.

    Of those names `closed_channels` is a list of `FreeChannel`s.
    """

    space_type: SpaceType
    space_id: SpaceId
    chat_enabled: bool | None = None
    voice_enabled: bool | None = None
    guests_allowed: bool | None = None
    max_users: Annotated[int, integer(1, MAX_USERS)] | None = None
    slow_mode_seconds: Annotated[int, integer(0, MAX_SLOW_MODE)] | None = None
    audio: dict[str, Any] | None = field(default=None, metadata=AUDIO)
    spawn: dict[str, Any] | None = field(default=None, metadata=SPAWN)
    settings: dict[str, Any] | None = field(default=None, metadata=SETTINGS)
    reason: Reason | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class SpaceSettings:
    """All settings of a space as they are now. `audio.mode` is one of `AUDIO_MODES`; `spawn` is in metres."""

    chat_enabled: bool
    voice_enabled: bool
    guests_allowed: bool
    max_users: int
    slow_mode_seconds: int
    audio: dict[str, Any] = field(metadata=shape(**_AUDIO_SHAPE, **_FREE))
    spawn: dict[str, Any] = field(metadata=shape(**_SPAWN_SHAPE, **_FREE))
    settings: dict[str, Any] = field(metadata=shape(**_SETTINGS_SHAPE, **_FREE))


@dataclass(frozen=True)
class SpaceUpdated:
    """The settings of a space changed; these are all of them."""

    space_type: str
    space_id: str
    settings: SpaceSettings
    updated_by: str


@dataclass(frozen=True)
class ListRoles:
    """Asks for the roles given in a space, by account."""

    space_type: SpaceType
    space_id: SpaceId
    limit: PageSize = 50
    cursor: Cursor | None = None


@dataclass(frozen=True)
class GetRole:
    """Asks for an account's role in a space."""

    space_type: SpaceType
    space_id: SpaceId
    account: Account


@dataclass(frozen=True)
class SetRole:
    """Gives an account a role in a space."""

    space_type: SpaceType
    space_id: SpaceId
    account: Account
    role: GivableRole
    reason: Reason | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class RemoveRole:
    """Takes a given role away."""

    space_type: SpaceType
    space_id: SpaceId
    account: Account
    reason: Reason | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class AccountRole:
    """An account's `role` in a space by all rules together; `given` is the role that was given here, if any."""

    account: str
    role: str
    given: str | None
    given_by: str | None
    created_at: datetime | None


@dataclass(frozen=True)
class GivenRole:
    """A role that `given_by` gave in a space."""

    account: str
    role: str
    given_by: str
    created_at: datetime


@dataclass(frozen=True)
class Roles:
    """A page of the roles given in a space, by account."""

    roles: list[GivenRole]
    next_cursor: str | None


@dataclass(frozen=True)
class RoleChanged:
    """A role was given, or taken away: then `role` is null."""

    account: str
    role: str | None
    changed_by: str


@dataclass(frozen=True)
class Kick:
    """Puts a subject out of a space: exactly one of `account`, `guest_id`, `address` (or CIDR) and `socket_id`."""

    space_type: SpaceType
    space_id: SpaceId
    reason: Reason
    account: Account | None = None
    guest_id: Id | None = None
    address: AddressRange | None = None
    socket_id: Annotated[str, text(64)] | None = None
    client_message_id: ClientId | None = None

    EXACTLY_ONE: ClassVar = ("account", "guest_id", "address", "socket_id")


@dataclass(frozen=True)
class ImposeSanction(Kick):
    """Imposes a ban or a mute, for ever or `until` a time. `with_address` adds the person's last address."""

    until: datetime | None = None
    with_address: bool = False


@dataclass(frozen=True)
class LiftSanction:
    """Lifts a sanction, named by `id` or by exactly one of `account`, `guest_id` and `address`."""

    space_type: SpaceType
    space_id: SpaceId
    reason: Reason
    id: Id | None = None
    account: Account | None = None
    guest_id: Id | None = None
    address: AddressRange | None = None
    client_message_id: ClientId | None = None

    EXACTLY_ONE: ClassVar = ("id", "account", "guest_id", "address")


@dataclass(frozen=True)
class Sanction:
    """A ban or a mute. `subject` is an account's name or a guest's id; an address range, for operators only."""

    id: str
    kind: str
    subject_kind: str
    subject: str | None
    reason: str
    imposed_by: str
    created_at: datetime
    until: datetime | None


@dataclass(frozen=True)
class ListSanctions:
    """Asks for the sanctions in force, newest first. `kind` is ban or mute."""

    space_type: SpaceType
    space_id: SpaceId
    kind: Annotated[str, choice("ban", "mute")] = "ban"
    limit: PageSize = 50
    cursor: Cursor | None = None


@dataclass(frozen=True)
class Sanctions:
    """A page of bans or mutes, newest first."""

    bans: list[Sanction]
    next_cursor: str | None


@dataclass(frozen=True)
class ListAudit:
    """Asks for the audit trail of a space, newest first."""

    space_type: SpaceType
    space_id: SpaceId
    limit: PageSize = 50
    cursor: Cursor | None = None


@dataclass(frozen=True)
class AuditEntry:
    """An act in a space's name: settings, role, ban, unban, mute, unmute or kick; `details` hold what was set.

    Of the primary: content_hidden, content_shown, content_deleted, and content_permission of the account `subject`.
    """

    id: str
    action: str
    actor: str
    subject_kind: str | None
    subject: str | None
    reason: str | None
    until: datetime | None
    details: dict[str, Any] = field(metadata=FREE)
    created_at: datetime


@dataclass(frozen=True)
class AuditTrail:
    """A page of the audit trail, newest first."""

    entries: list[AuditEntry] = field(metadata=at_most(200))
    next_cursor: str | None = None


@dataclass(frozen=True)
class Moderated:
    """Somebody was banned, muted or kicked, or a sanction lifted. `subject` is null for an address range."""

    action: str
    subject_kind: str
    subject: str | None
    reason: str
    until: datetime | None
    moderator: str


class Kicked(Struct):
    """The socket was taken out. `code` is kicked, banned, forbidden, not_found, unauthorized or left."""

    reason: str
    code: str


update_settings = Operation(
    "moderation.update_settings",
    "spaces_auth",
    UpdateSettings,
    SpaceSettings,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("PATCH", "/api/spaces/{space_type}/{space_id}/settings"),),
    summary="Change a space's settings; owner and moderators.",
)
list_roles = Operation(
    "moderation.list_roles",
    "spaces_auth",
    ListRoles,
    Roles,
    Access.ACCOUNT,
    Limit(120, 60),
    bindings=(Http("GET", "/api/spaces/{space_type}/{space_id}/roles"),),
    summary="The roles given in a space; its owner.",
)
get_role = Operation(
    "moderation.get_role",
    "spaces_auth",
    GetRole,
    AccountRole,
    Access.ACCOUNT,
    Limit(120, 60),
    bindings=(Http("GET", "/api/spaces/{space_type}/{space_id}/roles/{account}"),),
    summary="An account's role in a space; its owner.",
)
set_role = Operation(
    "moderation.set_role",
    "spaces_auth",
    SetRole,
    AccountRole,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("PUT", "/api/spaces/{space_type}/{space_id}/roles/{account}"),),
    summary="Make an account a moderator or a member; the owner.",
)
remove_role = Operation(
    "moderation.remove_role",
    "spaces_auth",
    RemoveRole,
    AccountRole,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("DELETE", "/api/spaces/{space_type}/{space_id}/roles/{account}"),),
    summary="Take a given role away; the owner. A role by the content itself stays.",
)
list_bans = Operation(
    "moderation.list_bans",
    "spaces_auth",
    ListSanctions,
    Sanctions,
    Access.ACCOUNT,
    Limit(120, 60),
    bindings=(Http("GET", "/api/spaces/{space_type}/{space_id}/bans"),),
    summary="Bans, or mutes, in force in a space; owner and moderators.",
)
ban = Operation(
    "moderation.ban",
    "spaces_auth",
    ImposeSanction,
    Sanction,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("POST", "/api/spaces/{space_type}/{space_id}/bans", 201),),
    summary="Ban an account, a guest or an address range; members that it hits are put out at once.",
)
unban = Operation(
    "moderation.unban",
    "spaces_auth",
    LiftSanction,
    Empty,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("DELETE", "/api/spaces/{space_type}/{space_id}/bans"),),
    summary="Lift a ban.",
)
mute = Operation(
    "moderation.mute",
    "spaces_auth",
    ImposeSanction,
    Sanction,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("POST", "/api/spaces/{space_type}/{space_id}/mute", 201),),
    summary="Let someone be in the space, without words and voice.",
)
unmute = Operation(
    "moderation.unmute",
    "spaces_auth",
    LiftSanction,
    Empty,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("DELETE", "/api/spaces/{space_type}/{space_id}/mute"),),
    summary="Lift a mute.",
)
kick = Operation(
    "moderation.kick",
    "spaces_auth",
    Kick,
    Empty,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("POST", "/api/spaces/{space_type}/{space_id}/kick"),),
    summary="Put someone out of a space; they may come back.",
)
list_audit = Operation(
    "moderation.list_audit",
    "spaces_auth",
    ListAudit,
    AuditTrail,
    Access.ACCOUNT,
    Limit(60, 60),
    bindings=(Http("GET", "/api/spaces/{space_type}/{space_id}/audit"),),
    summary="Acts in the space's name, by whom and why; owner and moderators.",
)

moderated = Event(
    "moderation.acted",
    Moderated,
    bindings=(Webhook("moderation", for_moderators=True),),
    summary="A ban, mute or kick, or one lifted.",
)
settings_changed = Event(
    "moderation.settings_changed",
    SpaceUpdated,
    bindings=(Socket("space-updated"),),
    summary="The settings of a space changed.",
)
role_changed = Event("moderation.role_changed", RoleChanged, summary="A role was given or taken away.")

CHANGES_ACCESS = frozenset(
    {moderated.name, settings_changed.name, role_changed.name, leave_requested.name, *events.CHANGES_ACCESS}
)
"""Events after which somebody may have to leave: each raises the space's access epoch."""

kicked = Signal("kicked", Kicked, "server", "This socket may not stay in the space; it was taken out.")

RECORDS = (
    update_settings, list_roles, get_role, set_role, remove_role, list_bans, ban, unban, mute, unmute, kick, list_audit,
    moderated, settings_changed, role_changed, kicked,
)  # fmt: skip
