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
from libs.common.contracts.chat import Message
from libs.common.contracts.notifications import Mention, ToAccount
from libs.common.tasks.background import Background

_log = structlog.get_logger(__name__)
MOST_WAITING = 10_000
_encode = msgspec.json.Encoder().encode


class Notifier:
    """A component. `notify` never waits: one task sends what has gathered."""

    def __init__(self, redis: cache.RedisClient) -> None:
        self._redis = redis
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self._background = Background()

    def notify(self, message: Message, kinds: Mapping[str, str]) -> None:
        """Sends `mention` to each account that the message names or answers, by account → kind.

        Drops what a full queue cannot take.
        """
        for account, kind in kinds.items():
            if kind != "message" and not self._waiting.full():
                self._waiting.put_nowait(_mention(account, message, kind))

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


def _mention(account: str, message: Message, kind: str) -> bytes:
    mention = Mention(
        kind, message.space_type, message.space_id, message.subspace, message.id, message.display_name,
        message.content or "", message.seq,
    )  # fmt: skip
    return _encode(ToAccount(account, "mention", msgspec.Raw(_encode(mention))))
