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

# KEYS: members, owners, entities of the owner. ARGV: owner, name, entity. A word that is late keeps nothing of one who
# left.
_PUT_ENTITY = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('SADD', KEYS[2], ARGV[1])
  redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
end
"""


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

    def put_entity(self, space: SpaceKey, name: str, entity: messages.Entity) -> None:
        """Keeps a spawned entity for replicas that come later, if its owner is still there by then."""
        keys = cache.members(space), cache.entity_owners(space), cache.entities(space, entity.owner)
        data = messages.encode(entity)
        self._add(lambda pipe: pipe.eval(_PUT_ENTITY, len(keys), *keys, entity.owner, name, data))

    def remove_entity(self, space: SpaceKey, name: str, owner: str) -> None:
        """Removes a spawned entity."""
        key = cache.entities(space, owner)
        self._add(lambda pipe: pipe.hdel(key, name))

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
            await self.flush()

    async def flush(self) -> None:
        """Sends everything that was put."""
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
