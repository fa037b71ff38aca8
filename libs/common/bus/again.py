"""Gives a consumer group events again: what died, or what it is handed."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractMessage

from libs.common.bus import topology
from libs.common.bus.event_messages import for_again, message_of
from libs.common.bus.rabbit import CONFIRM_TIMEOUT, CONNECT_TIMEOUT, user_of
from libs.common.contracts.log import LoggedEvent


class Again:
    """The way into the queue of one group, for that group's own user."""

    def __init__(self, group: str, channel: AbstractChannel, exchange: AbstractExchange) -> None:
        self.group = group
        self._channel = channel
        self._exchange = exchange

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, url: str) -> AsyncIterator["Again"]:
        """Connects as the group that the URL's user is. Raises `ValueError` where that consumes no events."""
        group = user_of(url)
        if group not in topology.EVENT_GROUPS:
            raise ValueError(f"{group} consumes no events; these do: {', '.join(topology.EVENT_GROUPS)}.")
        async with await aio_pika.connect(url, timeout=CONNECT_TIMEOUT) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(topology.again_exchange(group), ensure=False)
            yield cls(group, channel, exchange)

    async def give(self, events: Sequence[LoggedEvent]) -> None:
        """Publishes events one by one, so that none pays for another."""
        for event in events:
            await self._publish(message_of([event], self.group))

    async def give_dead(self) -> int:
        """Moves what lies dead now back into the group's queue, and returns the number of messages."""
        dead = await self._channel.get_queue(topology.dead_queue(self.group))
        count = dead.declaration_result.message_count or 0
        for moved in range(count):
            message = await dead.get(fail=False)
            if message is None:
                return moved
            await self._publish(for_again(message, self.group))
            await message.ack()
        return count

    async def _publish(self, message: AbstractMessage) -> None:
        await self._exchange.publish(message, "", timeout=CONFIRM_TIMEOUT)
