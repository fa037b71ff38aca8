"""Keeps who is in a space, in Redis: members, versions, and the lease of each replica.

Join and leave are one atomic script each (`scripts.py`), for all who come or go together: capacity, member records,
whose place is taken, version and announcement.
A version that Redis lost begins again at its clock, so it never goes back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from libs.common import cache
from libs.common.clock import now, rfc3339
from libs.common.contracts.members import Member, decode_member
from libs.common.errors import SPACE_FULL, PresenceError
from libs.common.spaces import SpaceKey
from services.realtime.cluster import messages, scripts, thing_store
from services.realtime.cluster.entity_store import EntityStore
from services.realtime.cluster.thing_store import ThingStore

UNBOUNDED = 2**31  # members


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """`predecessor` is the connection of the same person whose state the member has; empty as long as nobody asked, and
    `NOBODY` for one who takes no place over.

    `epoch` is the access epoch under which it was let in; None for one who was here already.
    """

    member: Member
    max_users: int
    epoch: int | None = None
    predecessor: str = ""

    @property
    def arguments(self) -> tuple[str | int | bytes, ...]:
        """Returns the arguments that the script takes of each member."""
        member, epoch = self.member, "" if self.epoch is None else self.epoch
        place = member.socket_id, member.owner, member.subspace
        return *place, self.max_users, epoch, self.predecessor, messages.encode(member)


@dataclass(frozen=True, slots=True)
class JoinResult:
    """`replaced` is the member whose place was taken.

    Nobody joined where `is_stale`, since the access epoch is another, or where there is a `predecessor`: a connection
    of the same person, whose state the member is to have before it asks again.
    """

    replaced: Member | None = None
    predecessor: Member | None = None
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
        self.entities = EntityStore(redis)
        self.things = ThingStore(redis)
        self._join = redis.register_script(scripts.JOIN)
        self._leave = redis.register_script(scripts.LEAVE)
        self._update = redis.register_script(scripts.UPDATE)
        self._mark = redis.register_script(scripts.MARK)
        self._show = redis.register_script(scripts.SHOW_COUNT)
        self._renew = redis.register_script(scripts.RENEW)
        self._expired = redis.register_script(scripts.EXPIRED)
        self._forget = redis.register_script(scripts.FORGET)

    async def join(self, space: SpaceKey, requests: Sequence[JoinRequest]) -> list[JoinResult | PresenceError]:
        """Adds members, announces them once, and gives each its result, or `space_full`.

        A person who comes back takes the place of the connection that broke. A socket that is known is announced as
        its own successor.
        """
        with cache.redis_unavailable():
            # First, so that a replica that dies right after the script still leads its sweeper here.
            await self._add_space(space)
            records = [part for request in requests for part in request.arguments]
            keys = cache.members(space), cache.version(space), cache.epoch(space), cache.people(space)
            used, answers = await self._join(
                keys=[*keys, cache.dropped(space), *thing_store.keys(space)],
                args=[cache.wire(space), rfc3339(now()), *records],
            )
            await self._show_count(space, used)
            results = [
                _result(code, record, used, request) for request, (code, record) in zip(requests, answers, strict=True)
            ]
            replaced = [result.replaced for result in results if isinstance(result, JoinResult) and result.replaced]
            await self.entities.drop_left(space, replaced)
        return results

    async def _add_space(self, space: SpaceKey) -> None:
        added: Any = self._redis.sadd(cache.replica_spaces(self.replica), str(space))
        await added

    async def missing(self, space: SpaceKey, socket_ids: Iterable[str]) -> set[str]:
        """Returns the `socket_ids` that are no members (any more)."""
        with cache.redis_unavailable():
            members: Any = self._redis.hkeys(cache.members(space))
            return set(socket_ids) - {socket_id.decode() for socket_id in await members}

    async def mark_dropped(self, space: SpaceKey, member: Member) -> None:
        """Writes the record of a member whose connection broke, and lets the next socket of its person take its place.

        Leaving ends that.
        """
        with cache.redis_unavailable():
            keys = [cache.members(space), cache.dropped(space)]
            await self._mark(keys=keys, args=[member.socket_id, messages.encode(member)])

    async def leave(self, space: SpaceKey, socket_ids: list[str], reason: str) -> list[Member]:
        """Removes members, announces it, and returns those that were really there."""
        with cache.redis_unavailable():
            keys = cache.members(space), cache.version(space), cache.people(space), cache.dropped(space)
            used, records = await self._leave(
                keys=[*keys, *thing_store.keys(space)], args=[cache.wire(space), reason, rfc3339(now()), *socket_ids]
            )
            await self._show_count(space, used)
            gone = [decode_member(member) for member in records]
            await self.entities.drop_left(space, gone)
        return gone

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


def _result(code: int, record: bytes, used: int, request: JoinRequest) -> JoinResult | PresenceError:
    if code == scripts.FULL:
        return PresenceError(SPACE_FULL, details={"capacity": {"used": used, "total": request.max_users}})
    member = decode_member(record) if record else None
    if code == scripts.ASKED:
        return JoinResult(predecessor=member)
    return JoinResult(member, is_stale=code == scripts.STALE)
