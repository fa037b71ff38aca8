"""Identity tokens and admissions: JWS (RFC 7515) signed with Ed25519, verified by anyone who has the JWKS.

Claims: `iss` the public URL, `sub` as `Identity.key`, `name` the display name, `jti`, `iat`, `exp`,
`sid` the login it came from, `typ` "identity" or "admission"; an admission adds `space`
("post:bob/my-post"), `subspace`, `role`, `epoch`, `address` and `muted`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.errors import SESSION_EXPIRED, UNAUTHORIZED, PresenceError
from libs.common.identity import Identity
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey

ALGORITHM = "EdDSA"
MAX_TOKEN = 4096  # characters
MOST_KNOWN = 4096  # tokens whose signatures were checked and that are remembered; some 2 KB each
LEEWAY = 5  # seconds by which the clock of who signed may be ahead of ours


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to be in one space, given at a time when its epoch was `epoch`, to who came from `address`.

    `address` is as `addresses.limited` has it: who comes from another one may be banned there. `muted` says that its
    holder was, until a time that only the policy knows.
    """

    space: SpaceKey
    subspace: str
    role: str
    epoch: int
    address: str = ""
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """The content of a verified token. `expires_at` is Unix time in seconds.

    `checked` is false while nobody could say whether it was logged out.
    """

    identity: Identity
    expires_at: int
    admission: Admission | None = None
    checked: bool = True


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs, and the issuer it signs for."""

    issuer: str
    kid: str
    key: Ed25519PrivateKey

    def sign(self, identity: Identity, ttl: int, admission: Admission | None = None) -> tuple[str, Token]:
        """A token valid for `ttl` seconds, and what it says."""
        issued = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": identity.key,
            "name": identity.display_name,
            "jti": new_id(),
            "iat": issued,
            "exp": issued + ttl,
            "typ": "admission" if admission else "identity",
        }
        if identity.login_id:
            claims["sid"] = identity.login_id
        if admission:
            claims |= {
                "space": str(admission.space),
                "subspace": admission.subspace,
                "role": admission.role,
                "epoch": admission.epoch,
                "address": admission.address,
                "muted": admission.muted,
            }
        encoded = jwt.encode(claims, self.key, ALGORITHM, headers={"kid": self.kid})
        return encoded, _token(claims)


def _token(claims: dict[str, Any]) -> Token:
    kind, _, id_ = claims["sub"].partition(":")
    if kind not in ("account", "guest") or not id_:
        raise PresenceError(UNAUTHORIZED, "The token names nobody.")
    admission = None
    if claims["typ"] == "admission":
        space = SpaceKey.from_text(claims["space"])
        admission = Admission(
            space,
            claims["subspace"],
            claims["role"],
            claims["epoch"],
            claims.get("address", ""),
            claims.get("muted", False),
        )
    identity = Identity(kind, id_, claims["name"], token_id=claims["jti"], login_id=claims.get("sid"))
    return Token(identity, claims["exp"], admission)


class Verifier:
    """Checks tokens with the keys that `key_of` gives by their `kid`; it raises `KeyError` for one that there is not.

    A token that was checked is believed for as long as its key is the same object: whoever reads the keys again, or
    retires one, has it checked again.

    One signature is checked in a turn of the event loop: a crowd that connects at once, at some 0.3 ms each, would stop
    everybody who is there already.
    """

    def __init__(self, issuer: str, key_of: Callable[[str], Awaitable[jwt.PyJWK]]) -> None:
        self._issuer = issuer
        self._key_of = key_of
        self._turn = asyncio.Lock()
        self._known: dict[str, _Known] = {}

    async def verify(self, encoded: str) -> Token:
        """Raises `session_expired` for one that ran out, `unauthorized` for any other fault, what `key_of` raises."""
        if len(encoded) > MAX_TOKEN:
            raise PresenceError(UNAUTHORIZED, "The token is too long to be one of ours.")
        try:
            known = self._known.get(encoded)
            kid = known.kid if known else str(jwt.get_unverified_header(encoded)["kid"])
            key = await self._key_of(kid)
            token = known.token if known and known.key is key else await self._check(encoded, kid, key)
            if token.expires_at <= time.time():  # the leeway is for beginnings alone
                raise PresenceError(SESSION_EXPIRED)
            return token
        except jwt.ExpiredSignatureError as error:
            raise PresenceError(SESSION_EXPIRED) from error
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise PresenceError(UNAUTHORIZED, "The token could not be verified; log in at /api/auth/login.") from error

    async def _check(self, encoded: str, kid: str, key: jwt.PyJWK) -> Token:
        options: Any = {"require": ["iss", "sub", "jti", "iat", "exp"]}
        async with self._turn:
            await asyncio.sleep(0)
            claims = jwt.decode(encoded, key, [ALGORITHM], issuer=self._issuer, options=options, leeway=LEEWAY)
        token = _token(claims)
        if encoded not in self._known and len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[encoded] = _Known(kid, key, token)
        return token


@dataclass(frozen=True, slots=True)
class _Known:
    kid: str
    key: jwt.PyJWK
    token: Token
