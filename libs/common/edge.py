"""What the two public edges share: who is calling, from where, and how often they may.

Edges hold no database: tokens are verified against the JWKS that spaces_auth answers with, the deny
list and the rate limits are in Redis.
"""

import hmac
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import structlog
from limits import RateLimitItemPerSecond, WindowStats
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.addresses import canonical, limited
from libs.common.bus.base import Bus, Caller
from libs.common.contracts import auth
from libs.common.contracts.registry import Access, Operation
from libs.common.contracts.schema import has_field
from libs.common.errors import FORBIDDEN, RATE_LIMITED, UNAUTHORIZED, PresenceError
from libs.common.identity import Identity, guest_identity, service_identity
from libs.common.ids import new_id
from libs.common.settings import EdgeSettings
from libs.common.tokens import Token, Verifier

_log = structlog.get_logger(__name__)
REDIS_REST = 2.0  # seconds for which local buckets serve after Redis failed
FOREVER = 2**53


class Gatekeeper:
    """From a bearer token to a `Token`."""

    def __init__(self, bus: Bus, redis: cache.RedisClient, settings: EdgeSettings, name: str) -> None:
        self._bus, self._redis, self._settings = bus, redis, settings
        self._me = service_identity(name)
        self._verifier = Verifier(settings.public_url, self._fetch_jwks)

    async def _fetch_jwks(self) -> dict[str, Any]:
        found = await self._bus.call(auth.jwks, auth.Empty(), Caller(self._me, new_id()))
        return {"keys": found.keys}

    async def identify(self, bearer: str) -> Token:
        """Nothing, or the front end's `:alice`, is a guest without a token, and never `alice`.

        Raises `unauthorized` or `session_expired` for anything else that cannot be verified.
        """
        if not bearer or bearer.startswith(":"):
            return Token(guest_identity(new_id()), FOREVER)
        if self._is_operator_token(bearer):
            return Token(Identity("service", "operator", "operator", operator=True), FOREVER)
        token = await self._verifier.verify(bearer)
        identity = token.identity
        if identity.account in self._settings.operators:
            token = replace(token, identity=replace(identity, operator=True))
        with suppress(RedisError, OSError):
            return await self._checked(token)
        return replace(token, checked=False)

    async def check_again(self, token: Token) -> Token:
        """The token, now that it matters, if Redis was away when it was shown. Raises `unauthorized`, `unavailable`."""
        if token.checked:
            return token
        with cache.redis_unavailable():
            return await self._checked(token)

    def _is_operator_token(self, bearer: str) -> bool:
        expected = self._settings.operator_token
        return bool(expected) and hmac.compare_digest(bearer.encode(errors="surrogatepass"), expected.encode())

    async def prove(self, proof: auth.Prove, request_id: str, address: str) -> Token:
        """A signed challenge in the place of a token; good for this request. Raises `unauthorized`, `unavailable`."""
        proven = await self._bus.call(auth.prove, proof, Caller(self._me, request_id, address))
        return await self.identify(proven.token)

    async def _checked(self, token: Token) -> Token:
        """A token that was logged out is refused, and so is every other of its login.

        While Redis is away it passes for now: reads stay open, and what is of consequence (joins, logins) needs Redis
        itself.
        """
        if await self._redis.redis.exists(*cache.denials(token.identity)):
            raise PresenceError(UNAUTHORIZED, "This token was logged out.")
        return replace(token, checked=True)


def client_address(peer: str, forwarded_for: str | None, trusted: Iterable[str]) -> str:
    """The client's address: the last `X-Forwarded-For` entry if the peer is our proxy, else the peer."""
    claimed = None
    if forwarded_for and _is_in(peer, trusted):
        claimed = canonical(forwarded_for.rsplit(",", 1)[-1].strip())
    return claimed or canonical(peer) or peer


def _is_in(peer: str, networks: Iterable[str]) -> bool:
    address = canonical(peer)
    return address is not None and any(ip_address(address) in ip_network(network) for network in networks)


def allowed_origins(settings: EdgeSettings) -> list[str]:
    """The configured ones and the public URL's own."""
    parts = urlsplit(settings.public_url)
    return list(dict.fromkeys([f"{parts.scheme}://{parts.netloc}", *settings.allowed_origins]))


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of a limit: `remaining` calls, `reset` seconds until some come back."""

    limit: int
    remaining: int
    reset: int
    exceeded: bool

    def error(self) -> PresenceError:
        """`rate_limited`, with when to come back."""
        return PresenceError(RATE_LIMITED, details={"retry_after": max(self.reset, 1)})

    def headers(self) -> dict[str, str]:
        """The IETF draft's `RateLimit-*` fields, and `Retry-After` once it is exceeded (RFC 9110).

        None at all where limits are off.
        """
        if not self.limit:
            return {}
        shown = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }
        return {**shown, "Retry-After": str(max(self.reset, 1))} if self.exceeded else shown


class RateLimits:
    """Sliding windows in Redis, shared by all edges; in this process alone while Redis is away.

    `factor` multiplies every operation's limit; 0 switches limits off.
    """

    def __init__(self, redis_url: str, factor: float) -> None:
        self._factor = factor
        self._shared = SlidingWindowCounterRateLimiter(_redis_storage(redis_url))
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._local_until = float("-inf")

    async def spend(self, operation: Operation[Any, Any], identity: Identity, address: str) -> Budget:
        """Take one call from the caller's budget. Whoever shows no token shares their address's (IPv6: its /64)."""
        calls = round(operation.limit.calls * self._factor)
        if calls <= 0:
            return Budget(0, 0, 0, exceeded=False)
        known = (identity.token_id or identity.operator) and not operation.limit.per_address
        who = identity.key if known else f"address:{limited(address)}"
        item = RateLimitItemPerSecond(calls, operation.limit.seconds)
        within, stats = await self._hit(item, operation.name, who)
        reset = max(round(stats.reset_time - time.time()), 0)
        return Budget(calls, max(stats.remaining, 0), reset, exceeded=not within)

    async def _hit(self, item: RateLimitItemPerSecond, *key: str) -> tuple[bool, WindowStats]:
        if time.monotonic() >= self._local_until:
            try:
                return await self._shared.hit(item, *key), await self._shared.get_window_stats(item, *key)
            except (RedisError, OSError) as error:
                _log.warning("rate limits are local while Redis is away", error=repr(error))
                self._local_until = time.monotonic() + REDIS_REST
        return await self._local.hit(item, *key), await self._local.get_window_stats(item, *key)


def _redis_storage(url: str) -> Storage:
    pool: Any = cache.connection_pool(url)
    return RedisStorage(f"async+{url}", implementation="redispy", connection_pool=pool)


def require_login(token: Token, operation: Operation[Any, Any]) -> None:
    """What is an account's and of no one space (its webhooks, its notifications) no admission opens.

    Raises `forbidden`.
    """
    about_a_space = has_field(operation.request, "space_id") or has_field(operation.request, "document_id")
    if token.admission and operation.access is not Access.ANYONE and not about_a_space:
        raise PresenceError(FORBIDDEN, "This token is for one space; use the one of your login.")


def require_admitted(token: Token, data: Mapping[str, Any]) -> None:
    """An admission opens its own space only. Raises `forbidden` for a request about another."""
    if token.admission and ("space_id" in data or "document_id" in data):
        by_id = f"document:{data.get('document_id')}"
        named = f"{data.get('space_type')}:{data['space_id']}" if "space_id" in data else by_id
        if named != str(token.admission.space):
            raise PresenceError(FORBIDDEN, "This token is for another space; use the one of your login.")


def within_admission(token: Token, request: type, data: dict[str, Any]) -> dict[str, Any]:
    """What is named by its id alone (a message) must be in the space that an admission is for: say which that is."""
    if token.admission and "space_id" not in data and has_field(request, "space_id"):
        space = token.admission.space
        return {**data, "space_type": space.space_type, "space_id": space.space_id}
    return data


def with_client_id(request: type, data: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    """Give a command its idempotency key: the client's own, its `Idempotency-Key`, or one made here.

    The edge may send a command twice (the broker may fail between), and both must be the same command.
    """
    if has_field(request, "client_message_id") and data.get("client_message_id") is None:
        return {**data, "client_message_id": key or new_id()}
    return data
