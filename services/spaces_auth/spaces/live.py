"""Reads the live state that realtime keeps in Redis: the members of a space and their number."""

from collections.abc import Mapping
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common import cache
from libs.common.contracts.members import Member, decode_member
from libs.common.contracts.spaces import Capacity, ConnectedUser
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey

MOST_ACTIVE = 1000  # spaces that "sort=active" can put first


async def active_spaces(redis: Redis) -> dict[SpaceKey, int]:
    """Returns the number of sockets by space, most first; nothing while Redis is away: lists work without it."""
    try:
        stored = await redis.zrevrange(cache.ACTIVE, 0, MOST_ACTIVE - 1, withscores=True)
    except (RedisError, OSError):
        return {}
    rows = cast("list[tuple[bytes, float]]", stored)
    return {space: int(count) for name, count in rows if (space := _readable(name))}


def _readable(name: bytes) -> SpaceKey | None:
    """Returns None for a key of a form that this version does not know: that must not break the whole list."""
    try:
        return SpaceKey.from_text(name.decode())
    except (PresenceError, UnicodeDecodeError):
        return None


async def members(redis: Redis, space: SpaceKey) -> list[Member]:
    """Returns one record a socket. Raises `unavailable` while Redis is away."""
    with cache.redis_unavailable():
        stored: list[Any] = await redis.hvals(cache.members(space))
    return [decode_member(value) for value in stored]


async def connected_users(redis: Redis, space: SpaceKey) -> list[ConnectedUser]:
    """Returns the members as everybody may see them. Raises `unavailable` while Redis is away."""
    return [
        ConnectedUser(member.user_account, member.display_name, member.guest, member.subspace)
        for member in await members(redis, space)
    ]


async def sockets_of(redis: Redis, space: SpaceKey, identity: Identity) -> int:
    """Returns how many sockets the account or guest has in the space. Raises `unavailable` while Redis is away."""
    people = [(r.user_account, None if r.user_account else r.guest_id) for r in await members(redis, space)]
    return people.count((identity.account, None if identity.account else identity.id))


async def note_address(redis: Redis, space: SpaceKey, key: str, address: str) -> None:
    """Keeps the address of an `Identity.key` for a while, so that a moderator can ban it without seeing it."""
    if address:
        await redis.set(cache.address(space, key), address, ex=cache.ADDRESSES_SECONDS)


async def note_addresses(redis: Redis, space: SpaceKey, entering: Mapping[str, str]) -> None:
    """Keeps the addresses of many, by `Identity.key`, at once."""
    async with redis.pipeline(transaction=False) as pipe:
        for key, address in entering.items():
            await note_address(pipe, space, key, address)
        await pipe.execute()


async def count(redis: Redis, space: SpaceKey) -> int:
    """Returns the number of sockets in the space. Raises `unavailable` while Redis is away."""
    with cache.redis_unavailable():
        return int(await redis.hlen(cache.members(space)))


def capacity(used: int, total: int) -> Capacity:
    """Returns the capacity of a space with `used` of `total` sockets; `available` is never negative."""
    return Capacity(used, total, max(total - used, 0))
