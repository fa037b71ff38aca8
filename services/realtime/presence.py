"""Who is in a space, in Redis: members, versions, and the lease of each replica.

Join and leave are one atomic script each: capacity, member record, version and announcement together.
A version that Redis lost begins again at its clock, so it never goes back.
"""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from libs.common import cache
from libs.common.clock import now, rfc3339
from libs.common.errors import SPACE_FULL, PresenceError
from libs.common.spaces import SpaceKey
from services.realtime import wire
from services.realtime.wire import Entity, Member

_NEXT_VERSION = """
local function next_version(key)
  if redis.call('EXISTS', key) == 0 then
    local t = redis.call('TIME')
    redis.call('SET', key, t[1] * 1000 + math.floor(t[2] / 1000))
  end
  return string.format('%.0f', redis.call('INCR', key))
end
"""

# KEYS: members, version, epoch. ARGV: socket id, member, max, channel. Returns {joined, used, epoch}.
_JOIN = (
    _NEXT_VERSION
    + """
local known = redis.call('HEXISTS', KEYS[1], ARGV[1])
local used = redis.call('HLEN', KEYS[1])
if known == 0 and used >= tonumber(ARGV[3]) then return {0, used, 0} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if known == 0 then
  local version = next_version(KEYS[2])
  redis.call('PUBLISH', ARGV[4], '{"type":"joined","version":' .. version .. ',"member":' .. ARGV[2] .. '}')
  used = used + 1
end
return {1, used, tonumber(redis.call('GET', KEYS[3]) or '0')}
"""
)

# KEYS: members, version. ARGV: channel, reason, timestamp, socket ids... Returns {left, {members that left}}.
_LEAVE = (
    _NEXT_VERSION
    + """
local gone = {}
for i = 4, #ARGV do
  local member = redis.call('HGET', KEYS[1], ARGV[i])
  if member then
    redis.call('HDEL', KEYS[1], ARGV[i])
    table.insert(gone, member)
    redis.call('PUBLISH', ARGV[1], '{"type":"left","version":' .. next_version(KEYS[2]) ..
      ',"socket_id":' .. cjson.encode(ARGV[i]) .. ',"reason":"' .. ARGV[2] .. '","timestamp":"' .. ARGV[3] .. '"}')
  end
end
return {redis.call('HLEN', KEYS[1]), gone}
"""
)

# KEYS: leases. ARGV: replica, lease in ms. Returns 1 if the lease was still held.
_RENEW = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
return held and tonumber(held) >= now and 1 or 0
"""

# KEYS: leases. Returns the replicas whose lease ran out.
_EXPIRED = """
local t = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + math.floor(t[2] / 1000))
"""

# KEYS: leases. ARGV: replica. Forget a lease that is still expired.
_FORGET = """
local t = redis.call('TIME')
local expiry = redis.call('ZSCORE', KEYS[1], ARGV[1])
if expiry and tonumber(expiry) < t[1] * 1000 + math.floor(t[2] / 1000) then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return 1
end
return 0
"""


@dataclass(frozen=True, slots=True)
class Roll:
    """Everyone in a space (all subspaces) at one version."""

    members: dict[str, Member]
    version: int


class Presence:
    """Live state of spaces. Every method raises `unavailable` while Redis is away."""

    def __init__(self, redis: Redis, replica: str, lease_seconds: float) -> None:
        self._redis, self._replica = redis, replica
        self._lease_ms = round(lease_seconds * 1000)
        self._join = redis.register_script(_JOIN)
        self._leave = redis.register_script(_LEAVE)
        self._renew = redis.register_script(_RENEW)
        self._expired = redis.register_script(_EXPIRED)
        self._forget = redis.register_script(_FORGET)

    async def join(self, space: SpaceKey, member: Member, max_users: int) -> int:
        """Add the member, announce it once, and give the space's access epoch. Raises `space_full`."""
        with cache.redis_unavailable():
            # First, so that a replica that dies right after the script still leads its sweeper here.
            await self._add_space(space)
            joined, used, epoch = await self._join(
                keys=[cache.members(space), cache.version(space), cache.epoch(space)],
                args=[member.socket_id, wire.encode(member), max_users, cache.wire(space)],
            )
            if not joined:
                details = {"capacity": {"used": used, "total": max_users}}
                raise PresenceError(SPACE_FULL, details=details)
            await self._show_count(space, used)
        return int(epoch)

    async def _add_space(self, space: SpaceKey) -> None:
        added: Any = self._redis.sadd(cache.replica_spaces(self._replica), str(space))
        await added

    async def leave(self, space: SpaceKey, socket_ids: list[str], reason: str) -> list[Member]:
        """Remove and announce; the members that were really there."""
        with cache.redis_unavailable():
            used, gone = await self._leave(
                keys=[cache.members(space), cache.version(space)],
                args=[cache.wire(space), reason, rfc3339(now()), *socket_ids],
            )
            await self._show_count(space, used)
            members = [wire.decode_member(member) for member in gone]
            await self._drop_entities(space, {member.socket_id for member in members})
        return members

    async def _drop_entities(self, space: SpaceKey, owners: set[str]) -> None:
        """Entities go with their owner."""
        owned = [name for name, entity in (await self.entities(space)).items() if entity.owner in owners]
        if owned:
            removed: Any = self._redis.hdel(cache.entities(space), *owned)
            await removed

    async def entities(self, space: SpaceKey) -> dict[str, Entity]:
        """Spawned entities by id, all subspaces."""
        with cache.redis_unavailable():
            found: Any = self._redis.hgetall(cache.entities(space))
            return {name.decode(): wire.decode_entity(value) for name, value in (await found).items()}

    async def update(self, space: SpaceKey, member: Member) -> None:
        """Write a member's record again; nothing is announced."""
        with cache.redis_unavailable():
            written: Any = self._redis.hset(cache.members(space), member.socket_id, wire.encode(member))
            await written

    async def _show_count(self, space: SpaceKey, used: int) -> None:
        """Keep the popular-spaces set: by value, so that a lost or repeated update does not add up."""
        if used:
            await self._redis.zadd(cache.ACTIVE, {str(space): used})
        else:
            await self._redis.zrem(cache.ACTIVE, str(space))

    async def roll(self, space: SpaceKey) -> Roll:
        """Members and version of one moment."""
        with cache.redis_unavailable():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hgetall(cache.members(space))
                pipe.get(cache.version(space))
                stored, version = await pipe.execute()
        members = [wire.decode_member(value) for value in stored.values()]
        return Roll({member.socket_id: member for member in members}, int(version or 0))

    async def forget_space(self, space: SpaceKey) -> None:
        """This replica has nobody in the space any more."""
        with cache.redis_unavailable():
            removed: Any = self._redis.srem(cache.replica_spaces(self._replica), str(space))
            await removed

    async def renew(self) -> bool:
        """Extend this replica's lease; False if it had run out, so that its members may have been swept."""
        with cache.redis_unavailable():
            return bool(await self._renew(keys=[cache.REPLICAS], args=[self._replica, self._lease_ms]))

    async def release(self) -> None:
        """End this replica's lease; it has no members left."""
        with cache.redis_unavailable():
            await self._redis.zrem(cache.REPLICAS, self._replica)
            await self._redis.delete(cache.replica_spaces(self._replica))

    async def sweep(self) -> list[tuple[SpaceKey, Member]]:
        """Remove and announce the members of replicas whose lease ran out.

        Any number of replicas may sweep at once: a member is removed, and so announced, once.
        """
        gone: list[tuple[SpaceKey, Member]] = []
        with cache.redis_unavailable():
            for replica in await self._expired(keys=[cache.REPLICAS]):
                gone += await self._sweep_replica(replica.decode())
        return gone

    async def _sweep_replica(self, replica: str) -> list[tuple[SpaceKey, Member]]:
        gone: list[tuple[SpaceKey, Member]] = []
        found: Any = self._redis.smembers(cache.replica_spaces(replica))
        for name in await found:
            space = SpaceKey.from_text(name.decode())
            members = (await self.roll(space)).members.values()
            lost = [member.socket_id for member in members if member.replica == replica]
            if lost:
                gone += [(space, member) for member in await self.leave(space, lost, "lost")]
        if await self._forget(keys=[cache.REPLICAS], args=[replica]):
            await self._redis.delete(cache.replica_spaces(replica))
        return gone
