"""Keeps who is in a space, in Redis: members, versions, and the lease of each replica.

Join and leave are one atomic script each, for all who come or go together: capacity, member records, version and
announcement.
A version that Redis lost begins again at its clock, so it never goes back.
"""

from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from libs.common import cache
from libs.common.clock import now, rfc3339
from libs.common.contracts.members import Member, decode_member
from libs.common.errors import SPACE_FULL, PresenceError
from libs.common.spaces import SpaceKey
from services.realtime.cluster import messages
from services.realtime.cluster.messages import Entity

_NEXT_VERSION = """
local function next_version(key)
  if redis.call('EXISTS', key) == 0 then
    local t = redis.call('TIME')
    redis.call('SET', key, t[1] * 1000 + math.floor(t[2] / 1000))
  end
  redis.call('PERSIST', key)
  return string.format('%.0f', redis.call('INCR', key))
end
"""

# KEYS: owners, then the entities of each ARGV, an owner who is gone.
_DROP_ENTITIES = """
for i, owner in ipairs(ARGV) do
  redis.call('SREM', KEYS[1], owner)
  redis.call('DEL', KEYS[i + 1])
end
"""

# KEYS: members, version, epoch, dropped. ARGV: channel, timestamp, and of each: socket id, person, max, epoch, member.
# Returns {used, answers}; an answer is 0 for a full space, 1 for one who was let in under another epoch, else ""
# or the member that was replaced.
_JOIN = (
    _NEXT_VERSION
    + """
local used = redis.call('HLEN', KEYS[1])
local epoch = tonumber(redis.call('GET', KEYS[3]) or '0')
local answers, arrivals = {}, {}
for i = 3, #ARGV, 5 do
  local sid, person, max, member = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 4]
  local old = person ~= '' and redis.call('HGET', KEYS[4], person)
  local before = redis.call('HGET', KEYS[1], sid)
  if before then old = sid end
  local replaced = before or (old and redis.call('HGET', KEYS[1], old))
  if ARGV[i + 3] ~= '' and tonumber(ARGV[i + 3]) ~= epoch then
    table.insert(answers, 1)
  elseif not replaced and used >= max then
    table.insert(answers, 0)
  else
    if old then redis.call('HDEL', KEYS[4], person) end
    if replaced then redis.call('HDEL', KEYS[1], old) else used = used + 1 end
    redis.call('HSET', KEYS[1], sid, member)
    table.insert(answers, replaced or '')
    local whom = replaced and cjson.encode(old) or 'null'
    table.insert(arrivals, '{"member":' .. member .. ',"replaces":' .. whom .. '}')
  end
end
if #arrivals > 0 then
  redis.call('PUBLISH', ARGV[1], '{"type":"joined","version":' .. next_version(KEYS[2]) ..
    ',"arrivals":[' .. table.concat(arrivals, ',') .. '],"timestamp":"' .. ARGV[2] .. '"}')
end
return {used, answers}
"""
)

# KEYS: members, version. ARGV: channel, reason, timestamp, socket ids... Returns {left, {members that left}}. With the
# last member the version gets an end: without it the next member would find no greater one than was announced last.
_LEAVE = (
    cache.EVEN_WHEN_FULL
    + _NEXT_VERSION
    + """
local gone, ids = {}, {}
for i = 4, #ARGV do
  local member = redis.call('HGET', KEYS[1], ARGV[i])
  if member then
    redis.call('HDEL', KEYS[1], ARGV[i])
    table.insert(gone, member)
    table.insert(ids, cjson.encode(ARGV[i]))
  end
end
if #ids > 0 then
  redis.call('PUBLISH', ARGV[1], '{"type":"left","version":' .. next_version(KEYS[2]) .. ',"socket_ids":[' ..
    table.concat(ids, ',') .. '],"reason":"' .. ARGV[2] .. '","timestamp":"' .. ARGV[3] .. '"}')
end
local left = redis.call('HLEN', KEYS[1])
if left == 0 then redis.call('EXPIRE', KEYS[2], VERSION_SECONDS) end
return {left, gone}
"""
).replace("VERSION_SECONDS", str(cache.VERSION_SECONDS))

# KEYS: members. ARGV: socket id, member. Never brings one back who has left.
_UPDATE = f"""{cache.EVEN_WHEN_FULL}
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
"""

# KEYS: dropped. ARGV: person, socket id. A later connection of the person that broke stays.
_UNMARK = f"""{cache.EVEN_WHEN_FULL}
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
"""

# KEYS: the popular spaces. ARGV: space, members.
_SHOW_COUNT = f"""{cache.EVEN_WHEN_FULL}
if ARGV[2] == '0' then redis.call('ZREM', KEYS[1], ARGV[1]) else redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1]) end
"""

# KEYS: leases. ARGV: replica, lease in ms. Returns 1 if the lease was still held.
_RENEW = f"""{cache.EVEN_WHEN_FULL}
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


UNBOUNDED = 2**31  # members


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """`person` is an identity's key, or empty for one who cannot be known again.

    `epoch` is the access epoch under which it was let in; None for one who was here already.
    """

    member: Member
    person: str
    max_users: int
    epoch: int | None = None

    @property
    def arguments(self) -> tuple[str, str, int, int | str, bytes]:
        """Returns the arguments that the script takes of each member."""
        epoch = "" if self.epoch is None else self.epoch
        return self.member.socket_id, self.person, self.max_users, epoch, messages.encode(self.member)


@dataclass(frozen=True, slots=True)
class JoinResult:
    """`replaced` is the member whose place was taken. `is_stale`: the access epoch is another, and nobody joined."""

    replaced: Member | None
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class Roll:
    """Everyone in a space (all subspaces) at one version."""

    members: dict[str, Member]
    version: int


class Presence:
    """Live state of spaces. Every method raises `unavailable` while Redis is away."""

    def __init__(self, redis: Redis, replica: str, lease_seconds: float) -> None:
        self._redis = redis
        self.replica = replica
        self._lease_ms = round(lease_seconds * 1000)
        self._join = redis.register_script(_JOIN)
        self._leave = redis.register_script(_LEAVE)
        self._drop = redis.register_script(_DROP_ENTITIES)
        self._update = redis.register_script(_UPDATE)
        self._unmark = redis.register_script(_UNMARK)
        self._show = redis.register_script(_SHOW_COUNT)
        self._renew = redis.register_script(_RENEW)
        self._expired = redis.register_script(_EXPIRED)
        self._forget = redis.register_script(_FORGET)

    async def join(self, space: SpaceKey, requests: Sequence[JoinRequest]) -> list[JoinResult | PresenceError]:
        """Adds members, announces them once, and gives each its result, or `space_full`.

        A person who comes back takes the place of the connection that broke. A socket that is known is announced as
        its own successor.
        """
        with cache.redis_unavailable():
            # First, so that a replica that dies right after the script still leads its sweeper here.
            await self._add_space(space)
            records = [part for request in requests for part in request.arguments]
            used, answers = await self._join(
                keys=[cache.members(space), cache.version(space), cache.epoch(space), cache.dropped(space)],
                args=[cache.wire(space), rfc3339(now()), *records],
            )
            await self._show_count(space, used)
            replaced = [decode_member(answer) if answer not in (0, 1, b"") else None for answer in answers]
            await self._drop_entities(space, {old.socket_id for old in replaced if old})
        return [
            _full(used, request.max_users) if answer == 0 else JoinResult(old, is_stale=answer == 1)
            for request, answer, old in zip(requests, answers, replaced, strict=True)
        ]

    async def _add_space(self, space: SpaceKey) -> None:
        added: Any = self._redis.sadd(cache.replica_spaces(self.replica), str(space))
        await added

    async def missing(self, space: SpaceKey, socket_ids: Iterable[str]) -> set[str]:
        """Returns the `socket_ids` that are no members (any more)."""
        with cache.redis_unavailable():
            members: Any = self._redis.hkeys(cache.members(space))
            return set(socket_ids) - {socket_id.decode() for socket_id in await members}

    async def mark_dropped(self, space: SpaceKey, person: str, socket_id: str, seconds: float) -> None:
        """Lets the next socket of the same person take the place of this one, for `seconds`."""
        with cache.redis_unavailable():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hset(cache.dropped(space), person, socket_id)
                pipe.pexpire(cache.dropped(space), round(seconds * 1000))
                await pipe.execute()

    async def unmark_dropped(self, space: SpaceKey, person: str, socket_id: str) -> None:
        """Forgets a connection whose person did not come back: others that break keep the whole hash alive."""
        with cache.redis_unavailable():
            await self._unmark(keys=[cache.dropped(space)], args=[person, socket_id])

    async def leave(self, space: SpaceKey, socket_ids: list[str], reason: str) -> list[Member]:
        """Removes members, announces it, and returns those that were really there."""
        with cache.redis_unavailable():
            used, gone = await self._leave(
                keys=[cache.members(space), cache.version(space)],
                args=[cache.wire(space), reason, rfc3339(now()), *socket_ids],
            )
            await self._show_count(space, used)
            await self._drop_entities(space, socket_ids)  # also of one that Redis had lost and that was not put back
        return [decode_member(member) for member in gone]

    async def _drop_entities(self, space: SpaceKey, owners: Collection[str]) -> None:
        """Removes the entities of owners who are gone: costs what they owned, whatever the space holds."""
        if owners:
            keys = [cache.entity_owners(space), *(cache.entities(space, owner) for owner in owners)]
            await self._drop(keys=keys, args=list(owners))

    async def entities(self, space: SpaceKey) -> dict[str, Entity]:
        """Returns the spawned entities by name, all subspaces."""
        with cache.redis_unavailable():
            owners = await self._entity_owners(space)
            async with self._redis.pipeline(transaction=False) as pipe:
                for owner in owners:
                    pipe.hgetall(cache.entities(space, owner))
                stored = await pipe.execute()
        return {name.decode(): messages.decode_entity(value) for entities in stored for name, value in entities.items()}

    async def _entity_owners(self, space: SpaceKey) -> set[str]:
        owners: Any = self._redis.smembers(cache.entity_owners(space))
        return {owner.decode() for owner in await owners}

    async def keep_entities(self, space: SpaceKey, owners: Container[str], entities: dict[str, Entity]) -> None:
        """Replaces the stored entities of these sockets by `entities`."""
        with cache.redis_unavailable():
            stored = [owner for owner in await self._entity_owners(space) if owner in owners]
            async with self._redis.pipeline(transaction=True) as pipe:
                if stored:
                    pipe.delete(*(cache.entities(space, owner) for owner in stored))
                if entities:
                    pipe.sadd(cache.entity_owners(space), *{entity.owner for entity in entities.values()})
                for name, entity in entities.items():
                    pipe.hset(cache.entities(space, entity.owner), name, messages.encode(entity))
                await pipe.execute()

    async def update(self, space: SpaceKey, member: Member) -> None:
        """Writes a member's record again; nothing is announced."""
        with cache.redis_unavailable():
            await self._update(keys=[cache.members(space)], args=[member.socket_id, messages.encode(member)])

    async def _show_count(self, space: SpaceKey, used: int) -> None:
        """Keeps the popular-spaces set: by value, so that a lost or repeated update does not add up."""
        await self._show(keys=[cache.ACTIVE], args=[str(space), used])

    async def roll(self, space: SpaceKey) -> Roll:
        """Returns members and version of one moment."""
        with cache.redis_unavailable():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hgetall(cache.members(space))
                pipe.get(cache.version(space))
                stored, version = await pipe.execute()
        members = [decode_member(value) for value in stored.values()]
        return Roll({member.socket_id: member for member in members}, int(version or 0))

    async def forget_space(self, space: SpaceKey) -> None:
        """Notes that this replica has nobody in the space any more."""
        with cache.redis_unavailable():
            removed: Any = self._redis.srem(cache.replica_spaces(self.replica), str(space))
            await removed

    async def renew(self) -> bool:
        """Extends this replica's lease. Returns False if it had run out, so that its members may have been swept."""
        with cache.redis_unavailable():
            return bool(await self._renew(keys=[cache.REPLICAS], args=[self.replica, self._lease_ms]))

    async def release(self) -> None:
        """Ends this replica's lease; it has no members left."""
        with cache.redis_unavailable():
            await self._redis.zrem(cache.REPLICAS, self.replica)
            await self._redis.delete(cache.replica_spaces(self.replica))

    async def sweep(self) -> list[tuple[SpaceKey, Member]]:
        """Removes and announces the members of replicas whose lease ran out, and returns them.

        Any number of replicas may sweep at once: a member is removed, and so announced, once.
        """
        gone: list[tuple[SpaceKey, Member]] = []
        with cache.redis_unavailable():
            for replica in await self._expired(keys=[cache.REPLICAS]):
                gone += await self._sweep_replica(replica.decode())
        return gone

    async def _sweep_replica(self, replica: str) -> list[tuple[SpaceKey, Member]]:
        gone: list[tuple[SpaceKey, Member]] = []
        spaces: Any = self._redis.smembers(cache.replica_spaces(replica))
        for name in await spaces:
            space = SpaceKey.from_text(name.decode())
            members = (await self.roll(space)).members.values()
            lost = [member.socket_id for member in members if member.replica == replica]
            if lost:
                gone += [(space, member) for member in await self.leave(space, lost, "lost")]
        if await self._forget(keys=[cache.REPLICAS], args=[replica]):
            await self._redis.delete(cache.replica_spaces(replica))
        return gone


def _full(used: int, total: int) -> PresenceError:
    return PresenceError(SPACE_FULL, details={"capacity": {"used": used, "total": total}})
