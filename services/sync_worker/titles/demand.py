"""Fetches first what people wait for: posts that somebody opened before their texts were there."""

import contextlib
from typing import Any

from libs.common import cache
from libs.common.errors import PresenceError
from libs.common.spaces import SpaceKey
from libs.common.tasks.background import Background
from services.sync_worker.tables.table import Key
from services.sync_worker.titles.titles import AT_ONCE, Titles

LOOK_SECONDS = 2.0  # between two looks at what is wanted


class Demand:
    """A component. What it takes and cannot fetch is asked for with all others."""

    def __init__(self, redis: cache.RedisClient, titles: Titles) -> None:
        self._redis = redis
        self._titles = titles
        self._background = Background()

    async def start(self) -> None:
        self._background.every(LOOK_SECONDS, self._look)

    async def stop(self) -> None:
        await self._background.end()

    async def _look(self) -> None:
        while await self.look():
            pass

    async def look(self) -> int:
        """Takes a few wanted posts and fetches them; returns how many it took. Raises `unavailable`."""
        with cache.redis_unavailable():
            taken: Any = await self._redis.redis.zpopmin(cache.CONTENT_WANTED, AT_ONCE)
        keys = [key for name, _ in taken if (key := _post(name))]
        await self._titles.fetch_wanted(keys)
        return len(taken)


def _post(name: bytes) -> Key | None:
    with contextlib.suppress(PresenceError):
        space = SpaceKey.parse("post", name.decode())
        author, _, permlink = space.space_id.partition("/")
        return author, permlink
    return None
