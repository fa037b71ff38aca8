"""The identity of a caller: made by an edge from a verified token, carried with every call on the bus."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["account", "guest", "service"]
OPERATOR = "operator"  # the service's name that the operator token stands for


@dataclass(frozen=True, slots=True)
class Identity:
    """A proven account, a guest, or one of our own services.

    `id` is the account name, the guest id or the service's name; it is unique within its kind.
    `operator` is true for accounts named in the settings and for the operator token.
    """

    kind: Kind
    id: str
    display_name: str
    operator: bool = False
    token_id: str | None = None  # the token's `jti`; None where no token was shown
    login_id: str | None = None  # the login it came from: the family of its refresh tokens

    @property
    def account(self) -> str | None:
        """The Hive account, or None for a guest."""
        return self.id if self.kind == "account" else None

    @property
    def guest(self) -> bool:
        return self.kind == "guest"

    @property
    def nobody(self) -> bool:
        """Returns whether it is a guest who showed no token: one of many, who are told the same."""
        return self.guest and self.token_id is None

    @property
    def key(self) -> str:
        """`account:alice`, `guest:0192...`: unique over all kinds."""
        return f"{self.kind}:{self.id}"

    def to_wire(self) -> dict[str, Any]:
        """Returns the fields as JSON on the bus has them: there the login is called `session_id`."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["session_id"] = fields.pop("login_id")
        return fields

    @classmethod
    def from_wire(cls, fields: Mapping[str, Any]) -> "Identity":
        """Reads what `to_wire` gave. Raises `TypeError` for a field that is missing or unknown."""
        own = {**fields}
        return cls(login_id=own.pop("session_id", None), **own)


def guest_identity(guest_id: str, display_name: str | None = None, token_id: str | None = None) -> Identity:
    """A guest; the display name is marked, so that nobody can pass for an account by it."""
    name = f"{display_name} (guest)" if display_name else f"Guest-{guest_id[-6:]}"
    return Identity("guest", guest_id, name, token_id=token_id)


def new_guest(guest_id: str, display_name: str | None = None) -> Identity:
    """A guest who is given a token: all tokens that come of it are one login, and end together."""
    return replace(guest_identity(guest_id, display_name), login_id=guest_id)


def service_identity(name: str) -> Identity:
    """The identity of one of our own processes, for calls that no client asked for."""
    return Identity("service", name, name)
