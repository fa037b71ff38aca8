"""Sends what this replica tells the others, in the order in which it was said.

One task sends: all that has gathered since the last round trip goes in the next. It is ephemeral, so what
Redis cannot take is dropped.
"""

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.spaces import SpaceKey
from libs.common.tasks.background import Background
from services.realtime.cluster import messages

_log = structlog.get_logger(__name__)
MOST_WAITING = 10_000  # commands; more than this behind, Redis is as good as away


class Publisher:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[Callable[[Pipeline], object]] = []
        self._woken = asyncio.Event()
        self._background = Background()

    def put(self, space: SpaceKey, message: messages.Message) -> None:
        """Sends a message soon, after everything that was put before."""
        channel, data = cache.wire(space), messages.encode(message)
        self._add(lambda pipe: pipe.publish(channel, data))

    def put_entity(self, space: SpaceKey, name: str, entity: messages.Entity | None) -> None:
        """Keeps a spawned entity for replicas that come later; None removes it."""
        key = cache.entities(space)
        if entity is None:
            self._add(lambda pipe: pipe.hdel(key, name))
        else:
            data = messages.encode(entity)
            self._add(lambda pipe: pipe.hset(key, name, data))

    def _add(self, command: Callable[[Pipeline], object]) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(command)
            self._woken.set()

    async def start(self) -> None:
        self._background.begin(self._run())

    async def stop(self) -> None:
        await self._background.end()

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            batch, self._waiting = self._waiting, []
            try:
                await self._send(batch)
            except (RedisError, OSError) as error:
                _log.warning("not published between replicas", messages=len(batch), error=repr(error))

    async def _send(self, batch: list[Callable[[Pipeline], object]]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for command in batch:
                command(pipe)
            await pipe.execute()
