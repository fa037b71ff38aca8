"""Tells gateways which spaces changed, so that none goes on giving an answer of before.

One Redis channel, one line a change: what happened, an event's name or `ACCESS`, and where. Nothing of what was said is
in it. `cache.raise_epoch` and its like tell `ACCESS` themselves, since they alone know when it changed.
"""

import asyncio
from collections.abc import Iterable

import structlog
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.contracts.log import LoggedEvent
from libs.common.tasks.background import Background

_log = structlog.get_logger(__name__)
MOST_WAITING = 10_000  # changes; what a gateway is not told of it gives for a second more


class Changes:
    """A component. `tell` never waits: one task sends what has gathered, each change once."""

    def __init__(self, redis: cache.RedisClient) -> None:
        self._redis = redis
        self._waiting: dict[str, None] = {}
        self._any = asyncio.Event()
        self._background = Background()

    def tell(self, events: Iterable[LoggedEvent]) -> None:
        """Takes events that were committed."""
        for event in events:
            if len(self._waiting) < MOST_WAITING:
                self._waiting[f"{event.name} {event.space_type}:{event.space_id}"] = None
                self._any.set()

    async def start(self) -> None:
        self._background.begin(self._send_forever())

    async def stop(self) -> None:
        await self._background.end()

    async def _send_forever(self) -> None:
        while True:
            await self._any.wait()
            self._any.clear()
            lines, self._waiting = "\n".join(self._waiting), {}
            try:
                await self._redis.redis.publish(cache.CHANGES, lines)
            except (RedisError, OSError) as error:
                _log.warning("changes not told", error=repr(error))


def read(told: bytes) -> list[tuple[str, str]]:
    """Returns (what, where) of each change in a message of the channel."""
    return [(what, where) for what, _, where in (line.partition(" ") for line in told.decode().splitlines())]
