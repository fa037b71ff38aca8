"""Tells sync_worker which posts somebody waits for."""

import time

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common import cache

_log = structlog.get_logger(__name__)


async def want(redis: Redis, post: str) -> None:
    """Puts `author/permlink` among the posts that are fetched next. Where that fails, it is fetched with all others."""
    try:
        if await redis.zcard(cache.CONTENT_WANTED) < cache.MOST_WANTED:
            await redis.zadd(cache.CONTENT_WANTED, {post: time.time()}, nx=True)
    except (RedisError, OSError) as error:
        _log.warning("could not ask for a post's text", error=str(error))
