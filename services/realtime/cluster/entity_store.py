"""Keeps spawned entities in Redis, by owner, for replicas that come to a space later."""

from collections.abc import Iterable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from libs.common import cache
from libs.common.contracts.members import Member
from libs.common.spaces import SpaceKey
from services.realtime.cluster import messages, scripts
from services.realtime.cluster.messages import Entity


class EntityStore:
    """Every method raises `unavailable` while Redis is away, and what is put never overtakes what is later."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._drop = redis.register_script(scripts.DROP_ENTITIES)

    async def read(self, space: SpaceKey) -> dict[str, Entity]:
        """Returns the spawned entities by name, all subspaces."""
        with cache.redis_unavailable():
            homes: Any = self._redis.smembers(cache.entity_owners(space))
            async with self._redis.pipeline(transaction=False) as pipe:
                for home in await homes:
                    pipe.hgetall(cache.entities(space, home.decode()))
                stored = await pipe.execute()
        return {name.decode(): messages.decode_entity(value) for entities in stored for name, value in entities.items()}

    async def put(self, space: SpaceKey, entities: Mapping[str, Entity]) -> None:
        """Stores entities whose owners are members."""
        with cache.redis_unavailable():
            async with self._redis.pipeline(transaction=False) as pipe:
                for name, entity in entities.items():
                    put(pipe, space, name, entity)
                await pipe.execute(raise_on_error=False)  # a Redis that is full stores none, and all else goes on

    async def drop_left(self, space: SpaceKey, gone: Iterable[Member]) -> None:
        """Removes what the members had where no other socket of theirs is: costs that, whatever the space holds."""
        homes = {(member.owner, member.subspace) for member in gone}
        if homes:
            keys = [cache.members(space), cache.people(space), cache.entity_owners(space)]
            keys += [cache.entities(space, f"{subspace}:{owner}") for owner, subspace in homes]
            with cache.redis_unavailable():
                await self._drop(keys=keys, args=[part for home in homes for part in home])


def put(pipe: Pipeline, space: SpaceKey, name: str, entity: Entity) -> None:
    """Has a pipeline store an entity."""
    keys = cache.members(space), cache.people(space), cache.entity_owners(space), _key(space, entity)
    where = entity.owner, entity.subspace, name, entity.stamp
    pipe.eval(scripts.PUT_ENTITY, len(keys), *keys, *where, messages.encode(entity))


def remove(pipe: Pipeline, space: SpaceKey, name: str, entity: Entity, stamp: int) -> None:
    """Has a pipeline remove an entity, as it was at `stamp`."""
    pipe.eval(scripts.REMOVE_ENTITY, 1, _key(space, entity), name, stamp)


def _key(space: SpaceKey, entity: Entity) -> str:
    return cache.entities(space, f"{entity.subspace}:{entity.owner}")
