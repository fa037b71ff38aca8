"""Bans, mutes and kicks, and the audit trail of all that is done in a space's name."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar

from msgspec import Struct

from libs.common.contracts.auth import Empty
from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Signal, Webhook
from libs.common.contracts.schema import (
    FREE,
    Account,
    ClientId,
    Cursor,
    Id,
    PageSize,
    Reason,
    SpaceId,
    SpaceType,
    at_most,
    choice,
    text,
)

AddressRange = Annotated[
    str,
    text(
        64,
        pattern="[0-9A-Fa-f:.]+(/[0-9]{1,3})?",
        format="address-range",
        description="An IP address, or a range of them in CIDR notation; for operators.",
    ),
]


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

kicked = Signal("kicked", Kicked, "server", "This socket may not stay in the space; it was taken out.")
