"""Hears over Redis what changed, by whichever gateway and service, and ends the answers that may be others now.

A gateway that may have missed something begins with nothing, and shares nothing until it hears again.
"""

import asyncio

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.cache import changes
from libs.common.tasks.background import Background
from services.gateway.shared.kept import Kept

_log = structlog.get_logger(__name__)
RETRY_SECONDS = 0.5
SILENCE_SECONDS = 2.0  # after which Redis is asked whether it is there; after as long again it is not


class Hearing:
    """A component. `hears` says whether a change that is told now would be heard."""

    def __init__(self, redis: cache.RedisClient, kept: Kept) -> None:
        self._redis = redis
        self._kept = kept
        self._background = Background()
        self.hears = False

    async def start(self) -> None:
        self._background.begin(self._listen_forever())

    async def stop(self) -> None:
        await self._background.end()

    async def _listen_forever(self) -> None:
        while True:
            try:
                async with self._redis.redis.pubsub() as pubsub:
                    await pubsub.subscribe(cache.CHANGES)
                    await self._listen(pubsub)
            except (RedisError, OSError, TimeoutError) as error:
                _log.warning("changes are not heard; nothing is shared", error=repr(error))
            except Exception:
                _log.exception("hearing failed; nothing is shared")
            finally:
                self.hears = False
                self._kept.clear()
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self, pubsub: PubSub) -> None:
        asked = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE_SECONDS)
            if message is None:
                if asked:
                    raise TimeoutError("Redis is silent")
                await pubsub.ping()
            asked = message is None
            if message and message["type"] == "subscribe":  # the library connects again by itself, and says it so
                self._kept.clear()
                self.hears = True
            elif message and message["type"] == "message":
                for what, where in changes.read(message["data"]):
                    self._kept.end(what, where)
