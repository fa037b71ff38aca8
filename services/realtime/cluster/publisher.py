"""Sends what this replica tells the others, in the order in which it was said.

One task sends: all that has gathered since the last round trip goes in the next. Nearly all of it is ephemeral, so what
Redis cannot take is dropped; what lasts is sent once Redis is back, and `on_return` has all that was missed made good.
"""

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError

from libs.common import cache
from libs.common.spaces import SpaceKey
from libs.common.tasks.background import Background
from services.realtime.cluster import entity_store, messages

_log = structlog.get_logger(__name__)
MOST_WAITING = 10_000  # commands; more than this behind, Redis is as good as away
RETRY_SECONDS = 0.5


type Command = tuple[Callable[[Pipeline], object], bool]  # and whether it lasts


class Publisher:
    """A component. `on_return` is for whoever holds the spaces to set."""

    def __init__(self, redis: Redis) -> None:
        self.on_return: Callable[[], None] = lambda: None
        self._redis = redis
        self._waiting: list[Command] = []
        self._entities: dict[tuple[SpaceKey, str], messages.Entity] = {}  # to be stored, each as it is now
        self._sending: dict[tuple[SpaceKey, str], messages.Entity] = {}
        self._lost = False
        self._woken = asyncio.Event()
        self._background = Background()

    def put(self, space: SpaceKey, message: messages.Message) -> None:
        """Sends a message soon, after everything that was put before."""
        channel, data = cache.wire(space), messages.encode(message)
        lasts = isinstance(message, messages.FromMember) and message.lasts
        self._add(lambda pipe: pipe.publish(channel, data), lasts=lasts)

    def put_entity(self, space: SpaceKey, name: str, entity: messages.Entity) -> None:
        """Keeps a spawned entity for replicas that come later, if its owner is still there by then.

        Whoever hears of it by a message that is put after this finds it stored.
        """
        self._entities[space, name] = entity
        self._woken.set()

    def is_to_store(self, space: SpaceKey, name: str) -> bool:
        """Returns whether an entity may not be stored yet."""
        return (space, name) in self._entities or (space, name) in self._sending

    def remove_entity(self, space: SpaceKey, name: str, entity: messages.Entity, stamp: int) -> None:
        """Removes a spawned entity."""
        self._entities.pop((space, name), None)
        self._add(lambda pipe: entity_store.remove(pipe, space, name, entity, stamp), lasts=True)

    def _add(self, send: Callable[[Pipeline], object], *, lasts: bool) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append((send, lasts))
        else:
            self._lost = True
        self._woken.set()

    async def start(self) -> None:
        self._background.begin(self._run())

    async def stop(self) -> None:
        await self._background.end()

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self.flush()
            if self._lost:
                await asyncio.sleep(RETRY_SECONDS)
                self._woken.set()

    async def flush(self) -> None:
        """Sends everything that was put."""
        batch, self._waiting = self._waiting, []
        entities, self._entities = self._entities, {}
        self._sending |= entities
        had_lost, self._lost = self._lost, False
        try:
            await self._send(batch, entities)
        except ResponseError as error:  # one command was refused, and all others were carried out
            _log.warning("refused between replicas", error=str(error))
        except (RedisError, OSError) as error:
            self._lost = True
            self._waiting = [command for command in batch if command[1]] + self._waiting
            self._entities = entities | self._entities
            _log.warning("not published between replicas", messages=len(batch), error=repr(error))
        else:
            if had_lost:
                self.on_return()
        finally:
            for place in entities:
                self._sending.pop(place, None)

    async def _send(self, batch: list[Command], entities: dict[tuple[SpaceKey, str], messages.Entity]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for (space, name), entity in entities.items():
                entity_store.put(pipe, space, name, entity)
            for send, _ in batch:
                send(pipe)
            if not pipe.command_stack:
                pipe.ping()
            await pipe.execute()
