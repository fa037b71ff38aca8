"""Redis' register of one space, as several replicas write it, and what is announced on the space's channel."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from libs.common import cache
from libs.common.contracts.members import Member, decode_member
from libs.common.contracts.presence import EntityEventOut
from libs.common.errors import PresenceError
from services.realtime.cluster import messages
from services.realtime.cluster.messages import Entity, MembersJoined, MembersLeft
from services.realtime.cluster.presence import UNBOUNDED, JoinRequest, JoinResult, Presence, Roll
from services.realtime.cluster.publisher import Publisher
from tests.integration.realtime.people import name_of
from tests.integration.realtime.world import FAR, HALL, make_join_request, make_member, make_presence

END = b'"end"'  # published last, so that everything before it has been heard


class Register:
    """Writes one space as the replicas `r1`, `r2` and so on do."""

    space = HALL

    def __init__(self, url: str, redis: Redis, pubsub: Any) -> None:
        self.redis = redis
        self._url, self._pubsub = url, pubsub
        self._dying: list[Redis] = []
        self._announced: list[MembersJoined | MembersLeft] = []

    def presence(self, replica: str = "r1", lease: float = FAR) -> Presence:
        return make_presence(self.redis, replica, lease)

    def dying_presence(self, replica: str) -> Presence:
        """Returns that of a replica whose process dies as soon as one of its scripts has run."""
        redis = _DiesAfterAScript.from_url(self._url)
        self._dying.append(redis)
        return make_presence(redis, replica)

    async def end(self) -> None:
        for redis in self._dying:
            await redis.aclose()

    # Joining and leaving.

    def request(self, member: Member, person: str = "", most: int = UNBOUNDED) -> JoinRequest:
        return make_join_request(member, person, most)

    async def enter(self, member: Member, *, person: str = "", most: int = UNBOUNDED) -> JoinResult:
        """Raises `space_full`."""
        presence = self.presence(member.replica)
        await presence.renew()
        (answer,) = await presence.join(self.space, [self.request(member, person, most)])
        while isinstance(answer, JoinResult) and answer.predecessor:
            again = make_join_request(member, person, most, answer.predecessor.socket_id)
            (answer,) = await presence.join(self.space, [again])
        if isinstance(answer, PresenceError):
            raise answer
        return answer

    async def join(self, name: str, replica: str = "r1", *, subspace: str = "main", most: int = UNBOUNDED) -> str:
        """Returns the code of the refusal, or `ok`."""
        try:
            await self.enter(make_member(name, replica, subspace), most=most)
        except PresenceError as error:
            return error.kind.code
        return "ok"

    async def join_together(self, names: list[str], replica: str = "r1", *, most: int = UNBOUNDED) -> list[str]:
        """Adds members in one batch and returns for each what `join` does."""
        presence = self.presence(replica)
        await presence.renew()
        answers = await presence.join(self.space, [self.request(make_member(n, replica), "", most) for n in names])
        return [answer.kind.code if isinstance(answer, PresenceError) else "ok" for answer in answers]

    async def leave(self, *names: str, by: str = "r1") -> set[str]:
        """Takes members of `r1` out and returns the names of those who were there."""
        gone = await self.presence(by).leave(self.space, [f"r1-{name}" for name in names], "left")
        return {name_of(member.socket_id) for member in gone}

    async def mark_dropped(self, member: Member) -> None:
        await self.presence(member.replica).mark_dropped(self.space, member)

    async def spawn(self, owner: str, *ids: str) -> None:
        """Makes these the entities of a member of `r1`."""
        await self.presence().entities.put(self.space, {f"main:{id_}": self.entity(owner) for id_ in ids})

    async def put_entity(self, owner: str, id_: str, *, stamp: int = 1, colour: str = "red") -> None:
        """Keeps an entity of a member of `r1` as a spawn does."""
        publisher = Publisher(self.redis)
        publisher.put_entity(self.space, f"main:{id_}", self.entity(owner, stamp=stamp, colour=colour))
        await publisher.flush()

    async def remove_entity(self, owner: str, id_: str, *, stamp: int) -> None:
        publisher = Publisher(self.redis)
        publisher.remove_entity(self.space, f"main:{id_}", self.entity(owner), stamp)
        await publisher.flush()

    def entity(self, owner: str, *, stamp: int = 1, colour: str = "red") -> Entity:
        """`owner` is a name of `r1`, or a person."""
        sender = owner if ":" in owner else f"r1-{owner}"
        data = msgspec.Raw(msgspec.json.encode({"colour": colour}))
        return Entity(sender, "main", EntityEventOut(sender, owner, "spawn", data), stamp)

    # What Redis holds.

    async def calls_of(self, command: str) -> int:
        """Returns how often Redis carried out a command since it started."""
        statistics: Any = await self.redis.info("commandstats")
        return int(statistics.get(f"cmdstat_{command}", {"calls": 0})["calls"])

    async def stored(self) -> list[Member]:
        records: Any = await cast("Any", self.redis.hvals(cache.members(self.space)))
        return [decode_member(record) for record in records]

    async def names(self) -> set[str]:
        return {name_of(member.socket_id) for member in await self.stored()}

    async def entities(self) -> set[str]:
        return set(await self.presence().entities.read(self.space))

    async def colours(self) -> dict[str, str]:
        stored = await self.presence().entities.read(self.space)
        return {name: msgspec.json.decode(entity.event.data)["colour"] for name, entity in stored.items()}

    async def version(self) -> int:
        return int(await self.redis.get(cache.version(self.space)) or 0)

    async def count(self) -> int | None:
        """Returns the count of the popular spaces; None where the space is not among them."""
        score = await self.redis.zscore(cache.ACTIVE, str(self.space))
        return None if score is None else int(score)

    async def announced(self) -> list[MembersJoined | MembersLeft]:
        """Returns everything that was announced since the register was made."""
        await self.redis.publish(cache.wire(self.space), END)
        while True:
            message = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=None)
            if message is None:
                continue
            if message["data"] == END:
                return self._announced
            self._announced.append(messages.decode(message["data"]))

    # Leases.

    async def expire(self, replica: str) -> None:
        await self.redis.zadd(cache.REPLICAS, {replica: 1})

    async def has_lease(self, replica: str) -> bool:
        return await self.redis.zscore(cache.REPLICAS, replica) is not None

    async def is_expired(self, replica: str) -> bool:
        expiry = await self.redis.zscore(cache.REPLICAS, replica)
        return expiry is not None and await self.clock_is_beyond(int(expiry))

    async def clock_is_beyond(self, milliseconds: int) -> bool:
        """Returns whether Redis' clock has passed that time."""
        seconds, microseconds = await self.redis.time()
        return seconds * 1000 + microseconds // 1000 > milliseconds

    async def sweep(self, replica: str, meanwhile: Callable[[], Awaitable[None]] | None = None) -> set[str]:
        """Sweeps and returns the names of the members swept; `meanwhile` happens once the members have been read."""
        presence = self.presence(replica)
        if meanwhile:
            presence = _Interrupted(self.redis, replica, FAR)
            presence.meanwhile = meanwhile
        return {name_of(member.socket_id) for _, member in await presence.sweep()}


class _Interrupted(Presence):
    """Lets something else happen after each reading of the members."""

    meanwhile: Callable[[], Awaitable[None]]

    async def roll(self, space: Any) -> Roll:
        roll = await super().roll(space)
        await self.meanwhile()
        return roll


class _DiesAfterAScript(Redis):
    """Runs one script and no further command, as a process that dies."""

    dead = False

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if self.dead:
            raise ConnectionError("The process died.")
        answer = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        self.dead = args[0] == "EVALSHA"
        return answer


@contextlib.asynccontextmanager
async def registered(redis_url: str) -> AsyncIterator[Register]:
    redis = cache.RedisClient(redis_url).redis
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(cache.wire(HALL))
        await pubsub.get_message(timeout=None)
        register = Register(redis_url, redis, pubsub)
        yield register
        await register.end()
    await redis.aclose()
