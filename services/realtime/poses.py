"""Poses are state, not messages: the latest of each member counts, sent once per tick."""

import asyncio
import contextlib
from collections import defaultdict
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.clock import now, rfc3339
from libs.common.contracts.presence import AframeUpdate, PoseOut
from libs.common.metrics import POSE_TICK
from services.realtime import wire
from services.realtime.fanout import Fanout
from services.realtime.sessions import Place
from services.realtime.wire import Poses

_log = structlog.get_logger(__name__)


class PoseTicker:
    """`put` merges a member's update; each tick sends what changed, here and to other replicas."""

    def __init__(self, redis: Redis, fanout: Fanout, replica: str, tick_seconds: float) -> None:
        self._redis, self._fanout, self._replica, self._tick = redis, fanout, replica, tick_seconds
        self._changed: dict[str, tuple[Place, dict[str, Any]]] = {}
        self._task: asyncio.Task[None] | None = None

    def put(self, place: Place, update: AframeUpdate) -> None:
        """Partial updates add up: absent fields keep what this tick already has, entities merge by id."""
        _, pending = self._changed.get(place.member.socket_id, (place, {}))
        fresh: dict[str, Any] = msgspec.to_builtins(update)
        entities = {**pending.get("entities", {}), **fresh.get("entities", {})}
        merged = {**pending, **fresh, **({"entities": entities} if entities else {})}
        self._changed[place.member.socket_id] = (place, merged)

    def drop(self, socket_id: str) -> None:
        """Its member left."""
        self._changed.pop(socket_id, None)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._tick)
            if self._changed:
                with POSE_TICK.time():
                    await self._send()

    async def _send(self) -> None:
        changed, self._changed = self._changed, {}
        timestamp = rfc3339(now())
        batches: dict[tuple[Any, str], list[PoseOut]] = defaultdict(list)
        for place, data in changed.values():
            member = place.member
            pose = PoseOut(member.socket_id, member.user_account, data, timestamp)
            batches[place.space, place.subspace].append(pose)
        for (space, subspace), poses in batches.items():
            held = self._fanout.spaces.get(space)
            if held:
                message = Poses(self._replica, subspace, poses)
                held.put(message)
                if held.has_elsewhere:
                    with contextlib.suppress(RedisError, OSError):  # the next tick carries newer ones
                        await self._redis.publish(cache.wire(space), wire.encode(message))
