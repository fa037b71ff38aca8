"""Notifies accounts at once, in whatever space they are: over one Redis channel, after the commit.

A notification may be lost here, with Redis or with this process; the rows that `GET /api/notifications` lists were
committed with the message.
"""

import asyncio
from collections.abc import Mapping

import msgspec
import structlog
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.contracts.notifications import Mention, ToAccount
from libs.common.tasks.background import Background
from services.chat.notifications.notifications_repository import Said

_log = structlog.get_logger(__name__)
MOST_WAITING = 10_000
_encode = msgspec.json.Encoder().encode


class Notifier:
    """A component. `notify` never waits: one task sends what has gathered."""

    def __init__(self, redis: cache.RedisClient) -> None:
        self._redis = redis
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self._background = Background()

    def notify(self, said: Said, kinds: Mapping[str, str]) -> None:
        """Sends `mention` to each account that is named or answered, by account → kind.

        Drops what a full queue cannot take.
        """
        for account, kind in kinds.items():
            if kind != "message" and not self._waiting.full():
                self._waiting.put_nowait(_mention(account, said, kind))

    async def start(self) -> None:
        self._background.begin(self._send_forever())

    async def stop(self) -> None:
        await self._background.end()

    async def _send_forever(self) -> None:
        while True:
            packet = await self._waiting.get()
            try:
                await self._redis.redis.publish(cache.ACCOUNTS, packet)
            except (RedisError, OSError) as error:
                _log.warning("notification not sent", error=repr(error))


def _mention(account: str, said: Said, kind: str) -> bytes:
    message_id = None if said.of_comment or said.of_event else said.id
    comment_id = said.id if said.of_comment else None
    space = said.space
    mention = Mention(
        kind, space.space_type, space.space_id, said.subspace, message_id, comment_id, said.by, said.content, said.seq
    )
    return _encode(ToAccount(account, "mention", msgspec.Raw(_encode(mention))))
