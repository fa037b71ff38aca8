"""How often a caller may call: sliding windows in Redis, shared by all edges."""

import time
from dataclasses import dataclass
from typing import Any

import structlog
from limits import RateLimitItemPerSecond, WindowStats
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.addresses import limited
from libs.common.contracts.registry import Operation
from libs.common.errors import RATE_LIMITED, PresenceError
from libs.common.identity import Identity

_log = structlog.get_logger(__name__)
REDIS_REST = 2.0  # seconds for which local buckets serve after Redis failed


@dataclass(frozen=True, slots=True)
class LimitState:
    """The rest of a limit: `remaining` calls, `reset` seconds until some come back."""

    limit: int
    remaining: int
    reset: int
    exceeded: bool

    def error(self) -> PresenceError:
        """Returns `rate_limited`, which says when to come back."""
        return PresenceError(RATE_LIMITED, details={"retry_after": max(self.reset, 1)})

    def headers(self) -> dict[str, str]:
        """Returns the IETF draft's `RateLimit-*` fields, and `Retry-After` once it is exceeded (RFC 9110).

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


NO_LIMIT = LimitState(0, 0, 0, exceeded=False)


class RateLimits:
    """Counts calls in sliding windows in Redis, shared by all edges; in this process alone while Redis is away.

    `factor` multiplies every operation's limit; 0 switches limits off.
    """

    def __init__(self, redis_url: str, factor: float) -> None:
        self._factor = factor
        self._shared = SlidingWindowCounterRateLimiter(_redis_storage(redis_url))
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._local_until = float("-inf")

    async def spend(self, operation: Operation[Any, Any], identity: Identity, address: str) -> LimitState:
        """Counts one call of the caller. Callers without a token are counted by address (IPv6: its /64)."""
        calls = round(operation.limit.calls * self._factor)
        if calls <= 0:
            return NO_LIMIT
        known = (identity.token_id or identity.operator) and not operation.limit.per_address
        who = identity.key if known else f"address:{limited(address)}"
        return await self._count(calls, operation.limit.seconds, operation.name, who)

    async def spend_on_account(self, operation: Operation[Any, Any], account: str, address: str) -> LimitState:
        """Counts one call from an address about an account. Nobody spends what others have to log in to the account."""
        calls = round((operation.limit.per_account or 0) * self._factor)
        if calls <= 0:
            return NO_LIMIT
        return await self._count(calls, operation.limit.seconds, operation.name, f"{limited(address)} {account}")

    async def _count(self, calls: int, seconds: int, *key: str) -> LimitState:
        within, stats = await self._hit(RateLimitItemPerSecond(calls, seconds), *key)
        reset = max(round(stats.reset_time - time.time()), 0)
        return LimitState(calls, max(stats.remaining, 0), reset, exceeded=not within)

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
