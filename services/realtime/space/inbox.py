"""The items that a held space handles one after the other, and their order."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import msgspec

from libs.common.contracts.presence import EntityEventOut
from services.realtime.cluster import messages
from services.realtime.rooms.client import Client


@dataclass(frozen=True, slots=True)
class Present:
    """The members, entities and things of a subspace at a welcome.

    `users` and `things` are the JSON of lists of `UserJoined` and `Thing`.
    """

    users: msgspec.Raw
    user_count: int
    entities: Sequence[EntityEventOut]
    things: msgspec.Raw


type Send = Callable[[Present], None]


@dataclass(frozen=True, slots=True)
class Enter:
    """A client whose snapshot of `seq` is ready: `send` it, then let the client hear the space."""

    client: Client
    seq: int
    send: Send
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Head:
    """The log's newest number, as somebody saw it."""

    seq: int


@dataclass(frozen=True, slots=True)
class Resync:
    """Messages may have been missed: read everything again. `lost`: this replica's members were, and are put back."""

    lost: bool = False


type Item = messages.Message | Enter | Head | Resync


class Inbox:
    """Keeps items in the order in which they come, but `Enter` until nothing else waits."""

    def __init__(self) -> None:
        self._queue: asyncio.PriorityQueue[tuple[bool, int, Item]] = asyncio.PriorityQueue()
        self._number = count()

    def put(self, item: Item) -> None:
        self._queue.put_nowait((isinstance(item, Enter), next(self._number), item))

    async def get(self) -> Item:
        _, _, item = await self._queue.get()
        return item
