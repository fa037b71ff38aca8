"""Leaves the public keys in Redis, where edges find them while no spaces_auth answers."""

import msgspec
from redis.asyncio import Redis

from libs.common import cache
from libs.common.tasks.background import Background
from services.spaces_auth.login.signing_keys import SigningKeys

AGAIN_SECONDS = 10.0  # well before a new key signs; and after so long they are back in a Redis that lost them


class KeyPublication:
    """A component. The keys stay for `seconds`: as long as a token that they signed may live."""

    def __init__(self, keys: SigningKeys, redis: Redis, seconds: int) -> None:
        self._keys = keys
        self._redis = redis
        self._seconds = seconds
        self._background = Background()

    async def start(self) -> None:
        self._background.every(AGAIN_SECONDS, self._publish, at_once=True)

    async def stop(self) -> None:
        await self._background.end()

    async def _publish(self) -> None:
        encoded = msgspec.json.encode(await self._keys.jwks())
        with cache.redis_unavailable():
            await self._redis.set(cache.JWKS, encoded, ex=self._seconds)
