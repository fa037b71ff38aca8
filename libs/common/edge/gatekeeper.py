"""Verifies who is calling: turns a bearer token into a `Token`.

Edges hold no database: tokens are verified with spaces_auth's keys (`verification_keys`); the deny list is in Redis.
What cannot be verified is counted by address. Who has used that up may still show a good token: one stranger in a house
shuts nobody else out.
"""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.bus.base import Bus, Caller
from libs.common.contracts import auth
from libs.common.contracts.registry import Limit
from libs.common.edge.limits import RateLimits
from libs.common.edge.verification_keys import VerificationKeys
from libs.common.errors import SESSION_EXPIRED, UNAUTHORIZED, UNAVAILABLE, PresenceError
from libs.common.identity import OPERATOR, Identity, guest_identity, service_identity
from libs.common.ids import new_id
from libs.common.roles import is_operator
from libs.common.settings import EdgeSettings
from libs.common.tokens import Token, Verifier

_log = structlog.get_logger(__name__)
FOREVER = 2**53
FAILURES = Limit(120, 60, per_address=True)
"""Limits bearers of one address that are refused, at all edges together."""
_FAILED = "failed_logins"


class Gatekeeper:
    """Verifies tokens for one edge. `keys` is a component of that edge."""

    def __init__(
        self, bus: Bus, redis: cache.RedisClient, limits: RateLimits, settings: EdgeSettings, name: str
    ) -> None:
        self._bus = bus
        self._redis = redis
        self._limits = limits
        self._settings = settings
        self._me = service_identity(name)
        self.keys = VerificationKeys(bus, redis, self._me)
        self._verifier = Verifier(settings.public_url, self.keys.of)

    async def identify(self, bearer: str, address: str) -> Token:
        """Returns the token of a bearer. Nothing, or the front end's `:alice`, is a guest, and never `alice`.

        Raises `unauthorized` or `session_expired` for anything else that cannot be verified, `rate_limited` once there
        was too much of it from the address.
        """
        if not bearer or bearer.startswith(":"):
            return unidentified()
        async with self._counting_failures(address):
            if self._is_operator_token(bearer):
                return await self._operator(address)
            return await self._verified(bearer)

    async def prove(self, proof: auth.Prove, request_id: str, address: str) -> Token:
        """Takes a signed challenge in the place of a token, for this request. Raises as `identify` does."""
        async with self._counting_failures(address):
            proven = await self._bus.call(auth.prove, proof, Caller(self._me, request_id, address))
            return await self._verified(proven.token)

    @asynccontextmanager
    async def _counting_failures(self, address: str) -> AsyncIterator[None]:
        try:
            yield
        except PresenceError as error:
            if error.kind in (UNAUTHORIZED, SESSION_EXPIRED):
                limit = await self._limits.spend_of_address(FAILURES, _FAILED, address)
                if limit.exceeded:
                    raise limit.error() from error
            raise

    async def _operator(self, address: str) -> Token:
        """Returns the operator token's; not to an address that has guessed too often, or guessing would have no bound.

        Raises `rate_limited`.
        """
        if await self._limits.is_spent(FAILURES, _FAILED, address):
            raise (await self._limits.spend_of_address(FAILURES, _FAILED, address)).error()
        return Token(Identity("service", OPERATOR, OPERATOR, operator=True), FOREVER)

    async def _verified(self, bearer: str) -> Token:
        """Raises `unauthorized` or `session_expired`, and `unavailable` where neither keys nor deny list can be had."""
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

    async def _checked(self, token: Token) -> Token:
        """Refuses a token that was logged out, and every other of its login.

        While Redis is away it passes for now: reads stay open, and what is of consequence (joins, logins) needs Redis
        itself.
        """
        async with self._redis.redis.pipeline(transaction=False) as pipe:  # each key may be on another node
            for key in cache.denials(token.identity):
                pipe.exists(key)
            is_denied = any(await pipe.execute())
        if is_denied:
            raise PresenceError(UNAUTHORIZED, "This token was logged out.")
        return replace(token, checked=True)


def unidentified() -> Token:
    """Returns what stands for the token of somebody who shows none: a new guest's."""
    return Token(guest_identity(new_id()), FOREVER)
