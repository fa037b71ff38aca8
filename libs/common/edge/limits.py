"""How often a caller may call: sliding windows in Redis, shared by all edges."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from limits import RateLimitItem, RateLimitItemPerSecond, WindowStats
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.addresses import limited
from libs.common.contracts.registry import Limit, Operation
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

    `factor` multiplies every limit; 0 switches limits off.
    """

    def __init__(self, redis_url: str, factor: float) -> None:
        self._factor = factor
        self._shared = SlidingWindowCounterRateLimiter(_redis_storage(redis_url))
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._local_until = float("-inf")
        # First come, first served: who waits for a connection in the pool is overtaken by others until its time is up.
        self._turns = asyncio.Semaphore(cache.MOST_CONNECTIONS)

    async def spend(self, operation: Operation[Any, Any], identity: Identity, address: str) -> LimitState:
        """Counts one call of the caller. Callers without a token are counted by address (IPv6: its /64)."""
        known = (identity.token_id or identity.operator) and not operation.limit.per_address
        who = identity.key if known else f"address:{limited(address)}"
        return await self._count(operation.limit.calls, operation.limit.seconds, operation.name, who)

    async def spend_on_account(self, operation: Operation[Any, Any], account: str, address: str) -> LimitState:
        """Counts one call from an address about an account. Nobody spends what others have to log in to the account."""
        calls = operation.limit.per_account or 0
        return await self._count(calls, operation.limit.seconds, operation.name, f"{limited(address)} {account}")

    async def spend_of_address(self, limit: Limit, name: str, address: str) -> LimitState:
        """Counts one of what is no operation, under a name of its own, for an address."""
        return await self._count(limit.calls, limit.seconds, name, limited(address))

    async def is_spent(self, limit: Limit, name: str, address: str) -> bool:
        """Returns whether `spend_of_address` would exceed the limit; counts nothing."""
        calls = round(limit.calls * self._factor)
        if calls <= 0:
            return False
        item = RateLimitItemPerSecond(calls, limit.seconds)
        return not await self._ask(lambda windows: windows.test(item, name, limited(address)))

    async def _count(self, most: int, seconds: int, *key: str) -> LimitState:
        calls = round(most * self._factor)
        if calls <= 0:
            return NO_LIMIT
        item = RateLimitItemPerSecond(calls, seconds)
        within, stats = await self._ask(lambda windows: _hit(windows, item, *key))
        reset = max(round(stats.reset_time - time.time()), 0)
        return LimitState(calls, max(stats.remaining, 0), reset, exceeded=not within)

    async def _ask[T](self, question: Callable[[SlidingWindowCounterRateLimiter], Awaitable[T]]) -> T:
        """Asks the windows in Redis, or for a while after Redis failed those of this process."""
        async with self._turns:
            if time.monotonic() >= self._local_until:
                try:
                    return await question(self._shared)
                except (RedisError, OSError) as error:
                    _log.warning("rate limits are local while Redis is away", error=repr(error))
                    self._local_until = time.monotonic() + REDIS_REST
        return await question(self._local)


async def _hit(windows: SlidingWindowCounterRateLimiter, item: RateLimitItem, *key: str) -> tuple[bool, WindowStats]:
    return await windows.hit(item, *key), await windows.get_window_stats(item, *key)


class LimitHere:
    """Counts calls by address in this process alone: for what costs less than a question to Redis.

    Its windows begin at the same moment for everybody, so it forgets everybody at once, and holds no more addresses
    than called in one window.
    """

    def __init__(self, limit: Limit, factor: float) -> None:
        self._calls = round(limit.calls * factor)
        self._seconds = limit.seconds
        self._counts: Counter[str] = Counter()
        self._until = float("-inf")

    def spend(self, address: str, amount: int = 1) -> LimitState:
        """Counts calls of an address, or units of what it costs; none only looks whether it had more than its share."""
        if self._calls <= 0:
            return NO_LIMIT
        now, who = time.monotonic(), limited(address)
        if now >= self._until:
            self._counts.clear()
            self._until = now + self._seconds
        self._counts[who] += amount
        rest = self._calls - self._counts[who]
        return LimitState(self._calls, max(rest, 0), round(self._until - now), exceeded=rest < 0)


def _redis_storage(url: str) -> Storage:
    pool: Any = cache.connection_pool(url)
    return RedisStorage(f"async+{url}", implementation="redispy", connection_pool=pool)
