"""The subject of a sanction or a kick: an account, a guest or an address range; or the person behind a socket."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Literal

from redis.asyncio import Redis

from libs.common import cache
from libs.common.addresses import IPV6_PREFIX, parse_range
from libs.common.contracts.members import decode_member
from libs.common.errors import FORBIDDEN, INVALID_INPUT, NOT_FOUND, PresenceError
from libs.common.identity import Identity
from libs.common.roles import Role
from libs.common.spaces import SpaceKey

Kind = Literal["account", "guest", "address"]
ONE_ADDRESS = {4: 32, 6: IPV6_PREFIX}  # prefix, by IP version, of what limits and bans take for one address
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
        """Raises `forbidden` for a range of several addresses, unless the role is an operator's.

        Who may put ranges out, and watch who goes, finds anybody's address by halving.
        """
        if self.kind == "address" and role < Role.OPERATOR:
            network = ip_network(self.id)
            if network.prefixlen < ONE_ADDRESS[network.version]:
                raise PresenceError(FORBIDDEN, "Ranges are for operators; name one address, or the person.")


def named(request: Any) -> Subject | None:
    """Returns the subject that the request's fields name; None if they name a socket, or a sanction.

    Raises `invalid_input` for a malformed address.
    """
    name = next((name for name in _NAMES if getattr(request, name) is not None), None)
    if name is None:
        return None
    value = getattr(request, name)
    try:
        return Subject(_NAMES[name], parse_range(value) if name == "address" else value)
    except ValueError as error:
        text = "An address, or a range such as 192.0.2.0/24."
        raise PresenceError(INVALID_INPUT, details={"fields": {"address": [text]}}) from error


async def find(redis: Redis, space: SpaceKey, request: Any) -> Subject:
    """Returns the subject that the request names, also by `socket_id`.

    Raises `not_found` for a socket that is not in the space, and as `named` does.
    """
    subject = named(request)
    if subject:
        return subject
    with cache.redis_unavailable():
        stored: Any = await redis.hget(cache.members(space), request.socket_id)
    if stored is None:
        raise PresenceError(NOT_FOUND, "There is no such socket in this space.")
    record = decode_member(stored)
    return Subject("account", record.user_account) if record.user_account else Subject("guest", record.guest_id or "")


async def address_of(redis: Redis, space: SpaceKey, subject: Subject) -> Subject | None:
    """Returns the range that the person came from last; None if that is not known."""
    with cache.redis_unavailable():
        stored: Any = await redis.get(cache.address(space, f"{subject.kind}:{subject.id}"))
    return Subject("address", parse_range(stored.decode())) if stored else None
