"""A member of realtime's consumer group that publishes its share of the events late, so that others overtake them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from itertools import cycle

from libs.common import cache
from libs.common.bus.rabbit import RabbitBus
from libs.common.contracts.log import LoggedEvent
from libs.common.spaces import SpaceKey
from services.realtime.cluster import messages
from services.realtime.cluster.messages import Logged
from tests.support.waiting import eventually

DELAYS = (0.02, 0.15)  # seconds: less than the time for which a hole is waited for, and more


class LateReplica:
    """`seqs` are the numbers of one space's events in the order in which its channel carried them."""

    def __init__(self, redis: cache.RedisClient, space: SpaceKey) -> None:
        self.seqs: list[int] = []
        self._redis = redis.redis
        self._space = space
        self._delays = cycle(DELAYS)
        self.subscribed = asyncio.Event()

    async def publish(self, events: Sequence[LoggedEvent]) -> None:
        await asyncio.sleep(next(self._delays))
        for event in events:
            space = SpaceKey(event.space_type, event.space_id)
            await self._redis.publish(cache.wire(space), messages.encode(Logged([event])))

    async def listen(self) -> None:
        """Notes what the space's channel carries, for ever."""
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(cache.wire(self._space))
            async for data in pubsub.listen():
                self.subscribed.set()
                message = messages.decode(data["data"]) if data["type"] == "message" else None
                if isinstance(message, Logged):
                    self.seqs += [event.seq for event in message.events]


@contextlib.asynccontextmanager
async def late_replica(amqp_url: str, redis_url: str, space: SpaceKey) -> AsyncIterator[LateReplica]:
    """Takes part from the beginning of the block to its end."""
    redis, bus = cache.RedisClient(redis_url), RabbitBus(amqp_url, "late replica")
    replica = LateReplica(redis, space)
    bus.subscribe("realtime", replica.publish)
    listening = asyncio.create_task(replica.listen())
    await bus.start()
    try:
        await eventually(lambda: bus.ready)
        await replica.subscribed.wait()
        yield replica
    finally:
        await bus.stop()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await redis.stop()
