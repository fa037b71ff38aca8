"""Verifies who is calling: turns a bearer token into a `Token`.

Edges hold no database: tokens are verified against the JWKS that spaces_auth answers with; the deny list is in Redis.
"""

import asyncio
import hmac
from dataclasses import replace
from typing import Any

import structlog
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.bus.base import Bus, Caller
from libs.common.contracts import auth
from libs.common.errors import UNAUTHORIZED, UNAVAILABLE, PresenceError
from libs.common.identity import OPERATOR, Identity, guest_identity, service_identity
from libs.common.ids import new_id
from libs.common.roles import is_operator
from libs.common.settings import EdgeSettings
from libs.common.tokens import Token, Verifier

_log = structlog.get_logger(__name__)
FOREVER = 2**53


class Gatekeeper:
    """Verifies tokens for one edge."""

    def __init__(self, bus: Bus, redis: cache.RedisClient, settings: EdgeSettings, name: str) -> None:
        self._bus = bus
        self._redis = redis
        self._settings = settings
        self._me = service_identity(name)
        self._verifier = Verifier(settings.public_url, self._fetch_jwks)

    async def _fetch_jwks(self) -> dict[str, Any]:
        answer = await self._bus.call(auth.jwks, auth.Empty(), Caller(self._me, new_id()))
        return {"keys": answer.keys}

    async def identify(self, bearer: str) -> Token:
        """Returns the token of a bearer. Nothing, or the front end's `:alice`, is a guest, and never `alice`.

        Raises `unauthorized` or `session_expired` for anything else that cannot be verified.
        """
        if not bearer or bearer.startswith(":"):
            return Token(guest_identity(new_id()), FOREVER)
        if self._is_operator_token(bearer):
            return Token(Identity("service", OPERATOR, OPERATOR, operator=True), FOREVER)
        token = await self._verifier.verify(bearer)
        identity = token.identity
        if is_operator(identity, self._settings.operators):
            token = replace(token, identity=replace(identity, operator=True))
        try:
            return await self._checked(token)
        except (RedisError, OSError) as error:
            if cache.is_away(error):
                return replace(token, checked=False)
            _log.error("the deny list could not be read", error=repr(error))
            raise PresenceError(UNAVAILABLE, "Whether this token is still good cannot be said just now.") from error

    async def check_again(self, token: Token) -> Token:
        """Returns the token, checked even if Redis was away when it was shown. Raises `unauthorized`, `unavailable`."""
        if token.checked:
            return token
        with cache.redis_unavailable():
            return await self._checked(token)

    def _is_operator_token(self, bearer: str) -> bool:
        expected = self._settings.operator_token
        return bool(expected) and hmac.compare_digest(bearer.encode(errors="surrogatepass"), expected.encode())

    async def prove(self, proof: auth.Prove, request_id: str, address: str) -> Token:
        """Takes a signed challenge in the place of a token, for this request. Raises `unauthorized`, `unavailable`."""
        proven = await self._bus.call(auth.prove, proof, Caller(self._me, request_id, address))
        return await self.identify(proven.token)

    async def _checked(self, token: Token) -> Token:
        """Refuses a token that was logged out, and every other of its login.

        While Redis is away it passes for now: reads stay open, and what is of consequence (joins, logins) needs Redis
        itself.
        """
        redis, keys = self._redis.redis, cache.denials(token.identity)
        if any(await asyncio.gather(*(redis.exists(key) for key in keys))):  # each key may be on another node
            raise PresenceError(UNAUTHORIZED, "This token was logged out.")
        return replace(token, checked=True)
