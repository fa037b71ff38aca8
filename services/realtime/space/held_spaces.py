"""The spaces that this replica holds: their channels, and the shared durable queue that feeds them."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import msgspec
import structlog
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.bus.base import Caller
from libs.common.contracts import log
from libs.common.contracts.log import Heads, LoggedEvent
from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from libs.common.tasks.background import Background
from services.realtime.cluster import messages
from services.realtime.cluster.channels import Channels
from services.realtime.cluster.messages import AskPoses, FromMember, Logged, Poses
from services.realtime.space.held_space import HeldSpace
from services.realtime.space.inbox import Head, Resync
from services.realtime.space.parts import SpaceParts

_log = structlog.get_logger(__name__)
HEADS_AT_ONCE = 500


class HeldSpaces:
    """A component. A space is held from its first `hold` to its last `release`.

    Every `head_seconds` the heads of all held spaces are compared with the log.
    """

    def __init__(self, redis: cache.RedisClient, parts: SpaceParts, head_seconds: float) -> None:
        self._redis = redis
        self._parts = parts
        self._head_seconds = head_seconds
        self.channels = Channels(redis.redis, parts.replica, self._resync_all)
        parts.publisher.on_return = self._resync_all
        self.by_key: dict[SpaceKey, HeldSpace] = {}
        self._opened: dict[SpaceKey, asyncio.Task[None]] = {}
        self._workers: dict[SpaceKey, asyncio.Task[None]] = {}
        self._background = Background()
        parts.bus.subscribe("realtime", self.publish_logged)

    async def start(self) -> None:
        await self.channels.start()
        self._background.every(self._head_seconds, self._compare_heads)

    async def stop(self) -> None:
        tasks = [*self._workers.values(), *self._opened.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._background.end()
        await self.channels.stop()

    @property
    def ready(self) -> bool:
        return self.channels.ready

    async def publish_logged(self, events: Sequence[LoggedEvent]) -> None:
        """Publishes events of the durable queue on their spaces' channels; the queue is acknowledged after that."""
        by_space: dict[SpaceKey, list[LoggedEvent]] = defaultdict(list)
        for event in events:
            by_space[SpaceKey(event.space_type, event.space_id)].append(event)
        with cache.redis_unavailable():
            async with self._redis.redis.pipeline(transaction=False) as pipe:
                for space, logged in by_space.items():
                    pipe.publish(cache.wire(space), messages.encode(Logged(logged)))
                await pipe.execute()

    async def hold(self, key: SpaceKey) -> HeldSpace:
        """Returns the space, open; every `hold` needs its `release`. Raises `unavailable`."""
        space = self.by_key.get(key)
        if space is None:
            space = self.by_key[key] = HeldSpace(key, self._parts)
            self._opened[key] = asyncio.create_task(self._open(space))
        space.holders += 1
        try:
            await asyncio.shield(self._opened[key])
        except BaseException:
            await self.release(space)
            raise
        return space

    async def _open(self, space: HeldSpace) -> None:
        try:
            await self.channels.subscribe(cache.wire(space.key), partial(self._receive, space))
        except (RedisError, OSError, TimeoutError) as error:
            raise PresenceError(UNAVAILABLE, "Live state is away for a moment.") from error
        await space.open()
        self._workers[space.key] = asyncio.create_task(space.run())

    def _receive(self, space: HeldSpace, data: bytes) -> None:
        try:
            message = messages.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:  # of a newer version: the log has what it says
            _log.warning("unreadable message between replicas", space=str(space.key), error=str(error))
            return
        if isinstance(message, Poses | AskPoses | FromMember) and message.replica == self._parts.replica:
            return
        space.put(message)

    async def release(self, space: HeldSpace) -> None:
        """Gives up a hold; with the last one the channel goes."""
        space.holders -= 1
        if space.holders or self.by_key.get(space.key) is not space:
            return
        del self.by_key[space.key]
        self._opened.pop(space.key).cancel()
        worker = self._workers.pop(space.key, None)
        if worker:
            worker.cancel()
        self._parts.poses.close(space.key)
        await self.channels.unsubscribe(cache.wire(space.key))

    def _resync_all(self) -> None:
        for space in self.by_key.values():
            space.put(Resync())

    async def _compare_heads(self) -> None:
        names = [str(key) for key in self.by_key]
        for start in range(0, len(names), HEADS_AT_ONCE):
            caller = Caller(service_identity("realtime"), new_id())
            answer = await self._parts.bus.call(log.heads, Heads(names[start : start + HEADS_AT_ONCE]), caller)
            for name, seq in answer.heads.items():
                space = self.by_key.get(SpaceKey.from_text(name))
                if space:
                    space.put(Head(seq))
