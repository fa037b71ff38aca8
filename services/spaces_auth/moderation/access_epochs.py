"""The access epoch of a space, raised once for each event that may shut somebody out.

The change and its event are committed first and the epoch follows at once. The process may die between the two, or
Redis may be away, so the epoch is raised again when the event arrives here over the bus, as often as that takes.
"""

import structlog
from redis.asyncio import Redis

from libs.common import cache
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.moderation import CHANGES_ACCESS
from libs.common.errors import PresenceError
from libs.common.spaces import SpaceKey

_log = structlog.get_logger(__name__)


class AccessEpochs:
    """Raises epochs in Redis; raising one twice for one event changes nothing."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def raise_soon(self, event: LoggedEvent) -> None:
        """Raises the epoch after the commit; while Redis is away it leaves that to `on_event`."""
        try:
            await self.on_event(event)
        except PresenceError as error:
            _log.warning("access epoch waits", space_type=event.space_type, space_id=event.space_id, error=str(error))

    async def on_event(self, event: LoggedEvent) -> None:
        """A consumer of every event. Raises `unavailable` while Redis is away, so that the event comes again."""
        if event.name in CHANGES_ACCESS:
            with cache.redis_unavailable():
                await cache.raise_epoch_for(self._redis, SpaceKey(event.space_type, event.space_id), event.seq)
