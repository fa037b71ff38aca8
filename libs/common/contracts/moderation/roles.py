"""Roles that a space's owner gives: who moderates, and who is a member."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from libs.common.contracts.registry import Access, Event, Http, Limit, Operation
from libs.common.contracts.schema import (
    Account,
    ClientId,
    Cursor,
    PageSize,
    Reason,
    SpaceId,
    SpaceType,
    choice,
)

GivableRole = Annotated[str, choice("moderator", "member")]


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

role_changed = Event("moderation.role_changed", RoleChanged, summary="A role was given or taken away.")
