"""Login by a challenge signed with a Hive posting key, guests' tokens, refresh and logout."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from libs.common.contracts.registry import Access, Http, Limit, Operation
from libs.common.contracts.schema import Account, at_most, shape, text
from libs.common.contracts.schema.characters import DISPLAY_NAME


@dataclass(frozen=True)
class ChallengeRequest:
    """Asks for a text that `account` is to sign."""

    account: Account


@dataclass(frozen=True)
class Challenge:
    """The text to sign with Hive Keychain's `requestSignBuffer` (posting key), good until `expires_at`."""

    challenge: str
    expires_at: datetime


MOST_SIGNATURES = 8


@dataclass(frozen=True)
class Login:
    """A signed challenge. `signatures` are further ones, for an account whose posting authority needs several keys."""

    account: Account
    challenge: Annotated[str, text(1024)]
    signature: Annotated[str, text(256)]
    signatures: list[Annotated[str, text(256)]] = field(default_factory=list, metadata=at_most(MOST_SIGNATURES))


@dataclass(frozen=True)
class Prove:
    """A signed challenge in the place of a token. `challenge` is the whole text, or the nonce alone of one of ours.

    `account` is null for the account that the challenge was made for. `joins` says that the request is a join, the one
    thing that a challenge of the client's own making opens.
    """

    challenge: Annotated[str, text(1024)]
    signature: Annotated[str, text(256)]
    account: Account | None = None
    joins: bool = False


@dataclass(frozen=True)
class Proven:
    """A token for the one request that brought the signature."""

    token: str


@dataclass(frozen=True)
class Tokens:
    """An identity token of `account`, good until `expires_at`, and the refresh token that gets the next one."""

    token: str
    refresh_token: str
    expires_at: datetime
    account: str


@dataclass(frozen=True)
class GuestRequest:
    """Asks for a guest's token; without a `display_name` the guest gets a generated one."""

    display_name: Annotated[str, text(32, pattern=DISPLAY_NAME)] | None = None


@dataclass(frozen=True)
class GuestToken:
    """A guest's token. `guest_id` is stable for the token's life."""

    token: str
    guest_id: str
    display_name: str
    expires_at: datetime


@dataclass(frozen=True)
class Refresh:
    """Exchanges a refresh token, which is then used up; shown again within half a minute it gives the same one."""

    refresh_token: Annotated[str, text(256)]


@dataclass(frozen=True)
class Empty:
    """No fields."""


@dataclass(frozen=True)
class Me:
    """The caller's identity. `account` is null for a guest, `guest_id` for an account and without a token."""

    kind: str
    account: str | None
    guest_id: str | None
    display_name: str
    operator: bool


_TEXTS = {name: {"type": "string"} for name in ("kty", "crv", "x", "kid", "alg", "use")}
_JWKS = shape(items={"type": "object", "required": ["kty", "crv", "x", "kid"], "properties": _TEXTS})


@dataclass(frozen=True)
class Jwks:
    """RFC 7517: `keys` are Ed25519 public keys (RFC 8037), newest first."""

    keys: list[dict[str, Any]] = field(metadata=_JWKS)


LOGINS = Limit(120, 60, per_address=True, per_account=20)
"""Limits challenges and logins, each: a house or a class behind one router logs in within a minute, no script does."""
REFRESHES = Limit(120, 60, per_address=True)
"""Limits refreshes of one address: the same house comes back after an hour with several tabs each."""
GUESTS = Limit(60, 600, per_address=True)
"""Limits new guests of one address: it lets a family behind one router in, but no crowd that a script makes."""

challenge = Operation(
    "auth.challenge",
    "spaces_auth",
    ChallengeRequest,
    Challenge,
    Access.UNSEEN,
    LOGINS,
    writes=True,
    bindings=(Http("POST", "/api/auth/challenge"),),
    summary="A text to sign with the account's posting key.",
)
login = Operation(
    "auth.login",
    "spaces_auth",
    Login,
    Tokens,
    Access.UNSEEN,
    LOGINS,
    writes=True,
    bindings=(Http("POST", "/api/auth/login"),),
    summary="Exchange a signed challenge for tokens.",
)
prove = Operation(
    "auth.prove",
    "spaces_auth",
    Prove,
    Proven,
    Access.INTERNAL,
    Limit(6000, 60),
    writes=True,
    summary="The account that signed a challenge, which the front end sends in the place of a token.",
)
guest = Operation(
    "auth.guest",
    "spaces_auth",
    GuestRequest,
    GuestToken,
    Access.UNSEEN,
    GUESTS,
    writes=True,
    bindings=(Http("POST", "/api/auth/guest"),),
    summary="A guest's token.",
)
refresh = Operation(
    "auth.refresh",
    "spaces_auth",
    Refresh,
    Tokens,
    Access.UNSEEN,
    REFRESHES,
    writes=True,
    bindings=(Http("POST", "/api/auth/refresh"),),
    summary="Exchange a refresh token for new tokens; one that is shown again later than 30 s ends its login.",
)
logout = Operation(
    "auth.logout",
    "spaces_auth",
    Empty,
    Empty,
    Access.ANYONE,
    Limit(30, 60),
    writes=True,
    bindings=(Http("POST", "/api/auth/logout"),),
    summary="Revoke the token this request carries, and its refresh tokens.",
)
me = Operation(
    "auth.me",
    "spaces_auth",
    Empty,
    Me,
    Access.ANYONE,
    Limit(120, 60),
    bindings=(Http("GET", "/api/auth/me"),),
    summary="The identity in the caller's token.",
)
jwks = Operation(
    "auth.jwks",
    "spaces_auth",
    Empty,
    Jwks,
    Access.UNSEEN,
    Limit(120, 60),
    bindings=(Http("GET", "/.well-known/jwks.json"),),
    summary="The public keys that tokens are signed with.",
)

RECORDS = (challenge, login, prove, guest, refresh, logout, me, jwks)
