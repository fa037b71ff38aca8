"""The subject of a sanction or a kick: an account, a guest or an address range; or the person behind a socket."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Literal

from redis.asyncio import Redis

from libs.common import cache
from libs.common.addresses import parse_range
from libs.common.contracts.members import decode_member
from libs.common.errors import INVALID_INPUT, NOT_FOUND, PresenceError
from libs.common.identity import Identity
from libs.common.roles import Role
from libs.common.spaces import SpaceKey

Kind = Literal["account", "guest", "address"]
WIDEST = {4: 16, 6: 32}  # shortest prefix of a range, by IP version, for all but operators
_NAMES: Mapping[str, Kind] = {"account": "account", "guest_id": "guest", "address": "address"}


@dataclass(frozen=True, slots=True)
class Subject:
    """A person or an address range. `id` is an account's name, a guest's id, or a range in CIDR notation."""

    kind: Kind
    id: str

    @property
    def identity(self) -> Identity | None:
        """The person's identity; None for a range."""
        return None if self.kind == "address" else Identity(self.kind, self.id, self.id)

    @property
    def address_range(self) -> str | None:
        """The range in CIDR notation; None for a person."""
        return self.id if self.kind == "address" else None

    @property
    def public_id(self) -> str | None:
        """The id as everybody may see it: None for a range, which is for operators only."""
        return None if self.kind == "address" else self.id

    def require_narrow(self, role: Role) -> None:
        """Raises `invalid_input` for a range wider than `WIDEST`, unless the role is an operator's."""
        if self.kind == "address" and role < Role.OPERATOR:
            network = ip_network(self.id)
            if network.prefixlen < WIDEST[network.version]:
                raise _malformed("address", f"At least /{WIDEST[network.version]}.")


def named(request: Any) -> Subject | None:
    """Returns the subject that the request's fields name; None if they name a socket, or nothing.

    Raises `invalid_input` for more than one name, and for a malformed address.
    """
    given = [name for name in (*_NAMES, "socket_id", "id") if getattr(request, name, None) is not None]
    if len(given) > 1:
        raise _malformed(given[1], "Only one way to name whom you mean.")
    if not given or given[0] not in _NAMES:
        return None
    value = getattr(request, given[0])
    try:
        return Subject(_NAMES[given[0]], parse_range(value) if given[0] == "address" else value)
    except ValueError as error:
        raise _malformed("address", "An address, or a range such as 192.0.2.0/24.") from error


async def find(redis: Redis, space: SpaceKey, request: Any) -> Subject:
    """Returns the subject that the request names, also by `socket_id`.

    Raises `not_found` for a socket that is not in the space, and as `named` does.
    """
    subject = named(request)
    if subject:
        return subject
    if request.socket_id is None:
        raise _malformed("account", "Say whom you mean: account, guest_id, address or socket_id.")
    with cache.redis_unavailable():
        stored: Any = await redis.hget(cache.members(space), request.socket_id)
    if stored is None:
        raise PresenceError(NOT_FOUND, "There is no such socket in this space.")
    record = decode_member(stored)
    return Subject("account", record.user_account) if record.user_account else Subject("guest", record.guest_id or "")


async def address_of(redis: Redis, space: SpaceKey, subject: Subject) -> Subject | None:
    """Returns the range that the person came from last; None if that is not known."""
    with cache.redis_unavailable():
        stored: Any = await redis.hget(cache.addresses(space), f"{subject.kind}:{subject.id}")
    return Subject("address", parse_range(stored.decode())) if stored else None


def _malformed(field: str, text: str) -> PresenceError:
    return PresenceError(INVALID_INPUT, details={"fields": {field: [text]}})
