"""Tells the sockets of one account, wherever they are: every replica hears one channel and tells its own.

One channel for all, since mentions and the like are rare beside poses: nothing to subscribe or to lose when a socket
comes or goes.
"""

import asyncio

import msgspec
import structlog
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.contracts.notifications import ToAccount
from services.realtime.cluster.channels import RETRY_SECONDS, Channels
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client_table import ClientTable
from services.realtime.transport.packets import EventPacket

_log = structlog.get_logger(__name__)
_decode = msgspec.json.Decoder(ToAccount).decode


class AccountChannel:
    """A component."""

    def __init__(self, channels: Channels, clients: ClientTable) -> None:
        self._channels = channels
        self._clients = clients
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._subscribe())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _subscribe(self) -> None:
        """Tries until it succeeds; after that `Channels` keeps the subscription."""
        while True:
            try:
                return await self._channels.subscribe(cache.ACCOUNTS, self._tell)
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)

    def _tell(self, data: bytes) -> None:
        try:
            message = _decode(data)
        except msgspec.MsgspecError as error:
            _log.warning("unreadable message to an account", error=str(error))
            return
        for client in self._clients:
            if client.token.identity.account == message.account:
                Broadcast.to_one(client, EventPacket(message.event, message.data))
