"""Replicas of realtime in one process, on a real Redis and the memory bus. Sockets end at `engine.Engine`.

This file alone makes the product's objects; the tests speak of people, by the names of their sockets: a socket's id is
its replica's name, a dash, and its own name. Commands run in the socket's turn, as `clients/sockets.py` runs them.
Reports and lease renewals happen when a test says so (`reports`, `beat`), unless a replica was made with `beats`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, cast
from unittest.mock import AsyncMock, patch

import msgspec
from msgspec import UNSET, UnsetType
from redis.asyncio import Redis

from libs.common import cache
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.clock import now, rfc3339
from libs.common.contracts import default_registry
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.members import Member, decode_member, encode_member
from libs.common.contracts.presence import AframeUpdate, EntityEventOut, JoinSpace, NafPacket, NafRoom, Position
from libs.common.contracts.spaces import PresenceChange
from libs.common.contracts.voice import VoiceState
from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.identity import Identity
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from libs.common.tokens import Admission, Token
from services.realtime.clients.things import Things
from services.realtime.cluster import messages
from services.realtime.cluster.messages import FromMember, Logged, Message
from services.realtime.cluster.presence import JoinRequest, Presence
from services.realtime.cluster.publisher import Publisher
from services.realtime.membership import departure
from services.realtime.membership.departure import Departure
from services.realtime.membership.ejection import Ejection
from services.realtime.membership.entering import Entering
from services.realtime.membership.grace import Grace
from services.realtime.membership.lease import Lease
from services.realtime.membership.reporter import Reporter
from services.realtime.naf.adapter import NafAdapter
from services.realtime.poses.ticker import PoseTicker
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.budgets import UNLIMITED, Budgets
from services.realtime.rooms.client import Client
from services.realtime.rooms.client_table import ClientTable
from services.realtime.space.held_spaces import HeldSpaces
from services.realtime.space.inbox import Head
from services.realtime.space.parts import SpaceListener, SpaceParts
from services.realtime.space.peers import Peers
from services.realtime.space.voice_states import VoiceStates
from tests.integration.common.world import Proxy, proxied
from tests.integration.realtime.engine import Engine
from tests.integration.realtime.people import account, name_of
from tests.integration.realtime.store import Store
from tests.support.waiting import eventually

HALL = SpaceKey("event", "state-machines")
ELSEWHERE = SpaceKey("event", "elsewhere")
HOME = "203.0.113.9"  # the address that everybody comes from
FAR = 3600.0  # seconds: a time that does not come in a test
PATIENCE = 10.0  # seconds for what takes milliseconds on an idle machine
MARKER = "marker"


@dataclass(frozen=True)
class Intervals:
    """Holds the settings of a replica, in seconds; each test sets those that it is about."""

    gap: float = FAR
    heads: float = FAR
    grace: float = FAR
    lease: float = FAR
    beats: bool = False


class Replica:
    """One replica's parts, made as `services/realtime/app.py` makes them, without what needs an HTTP server."""

    def __init__(self, name: str, proxy: Proxy, broker: MemoryBroker, intervals: Intervals) -> None:
        self.name, self.proxy = name, proxy
        self.redis = cache.RedisClient(proxy.url)
        redis, bus = self.redis.redis, MemoryBus(broker)
        self.clients = ClientTable(cast("Any", self))
        self.presence = make_presence(redis, name, intervals.lease)
        broadcast = self.broadcast = Broadcast(default_registry())
        poses = self.poses = PoseTicker(redis, broadcast, name, 0.05, 1000)
        listeners: list[SpaceListener] = []
        publisher = self.publisher = Publisher(redis)
        parts = SpaceParts(name, bus, self.presence, publisher, broadcast, poses, intervals.gap, listeners)
        self.held_spaces = HeldSpaces(self.redis, parts, intervals.heads)
        self.peers = Peers(self.held_spaces, publisher, name)
        self.reporter = Reporter(bus, name, poses.position_of)
        leaving = Departure(self.presence, self.held_spaces, self.reporter)
        self.grace = Grace(intervals.grace, self.presence, leaving)
        self.entering = Entering(
            bus, self.held_spaces, self.presence, broadcast, poses, self.reporter, leaving, self.grace
        )
        self.voice_states = VoiceStates(self.peers, self.presence)
        ejection = Ejection(
            bus, redis, self.held_spaces.by_key, self.clients, self.entering.leave, self.voice_states.silence
        )
        self.naf = NafAdapter(bus, self.entering, self.peers, publisher, name)
        listeners += [self.naf, ejection]
        self.things = Things(self.presence.things)
        self.lease = Lease(self.presence, self.reporter, self.entering, self.grace, ejection, intervals.lease)
        beating = [self.lease] if intervals.beats else []
        self._parts: list[Any] = [self.redis, self.held_spaces, bus, self.grace, ejection, *beating, publisher, poses]

    async def start(self) -> None:
        for part in self._parts:
            await part.start()
        await eventually(lambda: self.held_spaces.ready, PATIENCE)
        await self.presence.renew()

    async def die(self) -> None:
        """Stops it cut off from Redis, so that nothing it does in the end is seen."""
        await self.proxy.close()
        await self.stop()

    async def stop(self) -> None:
        """Stops it in order, with nobody left to let go."""
        if self._parts:
            if self.lease not in self._parts:
                await self.lease.stop()
            for part in reversed(self._parts):
                await part.stop()
            self._parts.clear()

    def client(self, engine: Engine, token: Token, address: str) -> Client:
        client = Client(f"{self.name}-{engine.name}", "/", cast("Any", engine), token, address, [Budgets(UNLIMITED)])
        client.blame = partial(self.peers.blame, client)
        self.clients.add(client)
        return client

    async def disconnect(self, sid: str, **_: str) -> None:
        """Ends a connection for cause, as Socket.IO's server does."""
        client = self.clients.remove(sid)
        assert client
        async with client.turn:
            await self.entering.leave(client, "disconnected")

    def has_left(self, space: SpaceKey) -> bool:
        """Returns whether it gave up the space's channel."""
        return space not in self.held_spaces.by_key

    def roster(self, space: SpaceKey) -> set[str]:
        """Returns the names of everybody in the space, as this replica knows them."""
        return {name_of(sid) for sid in self.held_spaces.by_key[space].roster.socket_ids}

    @property
    def keeps_anyone(self) -> bool:
        """Returns whether somebody is in grace."""
        return self.grace.keeps_anyone

    def tell_head(self, space: SpaceKey, seq: int) -> None:
        """Tells the held space the log's newest number."""
        self.held_spaces.by_key[space].put(Head(seq))


class World:
    """Holds the replicas `r1` and `r2` on one Redis. `order` is who was written what, over all sockets."""

    def __init__(self, redis: Redis, store: Store, replicas: dict[str, Replica]) -> None:
        self.redis, self.store, self.replicas = redis, store, replicas
        self.order: list[tuple[str, str]] = []
        self._engines: dict[str, Engine] = {}
        self._sockets: dict[str, tuple[Replica, Client]] = {}
        self._markers = count(1)

    # What people do.

    def connect(
        self,
        name: str,
        *,
        replica: str = "r1",
        person: Identity | None = None,
        as_name: str = "",
        address: str = HOME,
        admission: Admission | None = None,
        reads: bool = True,
    ) -> None:
        """Connects a socket; without `person` it is of the account `as_name`, or of one of the same name."""
        engine = self._engines[name] = Engine(name, self.order)
        engine.reads = reads
        at = self.replicas[replica]
        self._sockets[name] = (
            at,
            at.client(engine, Token(person or account(as_name or name), 2**53, admission), address),
        )

    async def join(
        self,
        name: str,
        subspace: str = "main",
        space: SpaceKey = HALL,
        *,
        after_seq: int | None = None,
        avatar: Any = UNSET,
        position: Position | UnsetType = UNSET,
        **connection: Any,
    ) -> dict[str, Any]:
        """Connects first if need be. Returns the snapshot, with what the ack says of it."""
        if name not in self._sockets:
            self.connect(name, **connection)
        replica, client = self._sockets[name]
        async with client.turn:
            request = JoinSpace(space.space_type, space.space_id, subspace, None, position, avatar, after_seq=after_seq)
            ack = await replica.entering.enter(client, request)
        return {**self.heard_by(name, "space-joined")[-1], **ack}

    def limit_replays(self, name: str, events: int) -> None:
        """Sets the budget of events that the socket's account is sent again in a second."""
        _, client = self._sockets[name]
        client.budgets = [Budgets(replace(UNLIMITED, replayed=events))]

    async def leave(self, name: str, *, out_of_turn: bool = False) -> None:
        replica, client = self._sockets[name]
        async with contextlib.nullcontext() if out_of_turn else client.turn:
            await replica.entering.leave(client, "left")

    async def drop(self, name: str) -> None:
        """Breaks the connection."""
        replica, client = self._sockets[name]
        replica.clients.remove(client.sid)
        async with client.turn:
            await replica.entering.drop(client)

    async def spawn(self, name: str, entity_id: str, **fields: Any) -> None:
        """Raises what the sender is told."""
        await self.tell_of(name, "spawn", entity_id, **fields)

    async def tell_of(self, name: str, event: str, entity_id: str, **fields: Any) -> None:
        """Sends an entity event. Raises what the sender is told."""
        replica, client = self._sockets[name]
        data = msgspec.Raw(msgspec.json.encode({"id": entity_id, **fields}))
        account = client.placed().member.user_account
        replica.peers.share_entity(client, EntityEventOut(client.sid, account, event, data))

    async def thing(self, name: str, event: str, id: str, **fields: Any) -> dict[str, Any]:
        """Does something with a thing. Returns what the ack says; raises what the sender is told."""
        replica, client = self._sockets[name]
        form, handle = replica.things.table[event]
        request: Any = msgspec.json.decode(msgspec.json.encode({"id": id, **fields}), type=form)
        answer: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(await handle(client, request)))
        return answer

    def may(self, name: str, **authorization: Any) -> None:
        """Changes what somebody may do where they are, such as `muted`."""
        place = self._sockets[name][1].placed()
        place.authorization = replace(place.authorization, **authorization)

    async def speak(self, name: str) -> None:
        """Switches the microphone on."""
        replica, client = self._sockets[name]
        await replica.voice_states.set(client.placed(), VoiceState(enabled=True))

    async def signal(self, name: str, to: str, event: str) -> None:
        """Says something to one socket that nobody keeps."""
        replica, client = self._sockets[name]
        replica.peers.to_one(client.placed(), self._sockets[to][1].sid, event, {})

    async def join_room(self, name: str, **connection: Any) -> None:
        """Enters with networked-aframe's adapter."""
        if name not in self._sockets:
            self.connect(name, **connection)
        replica, client = self._sockets[name]
        async with client.turn:
            await replica.naf.join_room(client, NafRoom(f"{HALL}:main"))

    async def naf(self, name: str, type: str, to: str | None = None, **data: Any) -> None:
        """Sends a packet of networked-aframe."""
        replica, client = self._sockets[name]
        packet = NafPacket(type, msgspec.Raw(msgspec.json.encode(data)), self.sid(to) if to else None)
        await (replica.naf.send if to else replica.naf.broadcast)(client, packet)

    def sid(self, name: str) -> str:
        return self._sockets[name][1].sid

    def relay(self, name: str, size: int, to: str | None = None) -> None:
        """Has a socket say so many bytes that nobody keeps, to all others or to one."""
        replica, client = self._sockets[name]
        place = client.placed()
        payload = EntityEventOut(client.sid, name, "wave", msgspec.Raw(msgspec.json.encode("x" * size)))
        if to is None:
            replica.peers.to_others(place, "entity-event", payload, always=True)
        else:
            replica.peers.to_one(place, self._sockets[to][1].sid, "entity-event", payload)

    def may_relay(self, name: str) -> bool:
        _, client = self._sockets[name]
        return not client.exceeds_relayed(1)

    def limit_relayed(self, name: str, rate: int) -> None:
        """Sets the bytes a second that a socket may relay."""
        _, client = self._sockets[name]
        client.budgets = [Budgets(replace(UNLIMITED, relayed=rate))]

    def limit_opened(self, name: str, spaces: int) -> None:
        """Sets the empty spaces that a socket may enter in a minute."""
        _, client = self._sockets[name]
        client.budgets = [Budgets(replace(UNLIMITED, opened=spaces))]

    def holders(self, replica: str, space: SpaceKey = HALL) -> int:
        """How many clients hold the space open on a replica."""
        held = self.replicas[replica].held_spaces.by_key.get(space)
        return held.holders if held else 0

    def move(self, name: str, update: AframeUpdate) -> None:
        replica, client = self._sockets[name]
        replica.poses.put(client.placed(), update)

    async def move_and_tell(self, name: str, update: AframeUpdate) -> None:
        """Moves, and returns once every replica with somebody in the space knows."""
        self.move(name, update)
        sid, subspace = self.sid(name), self._sockets[name][1].placed().subspace
        holding = [replica for replica in self.replicas.values() if HALL in replica.held_spaces.by_key]
        await eventually(lambda: all(r.poses.pose_of(HALL, subspace, sid) for r in holding), PATIENCE)

    def pose_at(self, replica: str, name: str) -> dict[str, Any]:
        """Returns somebody's latest pose as a replica knows it; empty where it knows none."""
        data = self.replicas[replica].poses.pose_of(HALL, "main", self.sid(name))
        return {"entities": {}, **msgspec.json.decode(data)} if data else {"entities": {}}

    def subspaces_with_poses(self, replica: str) -> set[str]:
        """Those that the ticks of a replica look at."""
        return {subspace for _, subspace in self.replicas[replica].poses._rooms}

    def read_all(self, name: str) -> None:
        self._engines[name].read_all()

    def stop_reading(self, name: str) -> None:
        self._engines[name].reads = False

    # What people heard.

    def heard_by(self, name: str, event: str) -> list[Any]:
        """Returns the payloads of an event."""
        return [payload for heard, payload in self._engines[name].events if heard == event]

    def all_heard_by(self, name: str) -> list[tuple[str, Any]]:
        """Returns events and payloads, in order."""
        return [(event, payload) for event, payload in self._engines[name].events if event != MARKER]

    def believed_by(self, name: str) -> list[tuple[str, Any]]:
        """Returns all that somebody heard, poses too, in order."""
        return self._engines[name].all

    def events_heard_by(self, name: str) -> list[str]:
        return [event for event, _ in self._engines[name].events if event != MARKER]

    def seqs_heard_by(self, name: str) -> list[int]:
        """Returns the numbers of the durable events, in the order in which they were heard."""
        return [payload["seq"] for payload in self.heard_by(name, "chat-message")]

    def joins_heard_by(self, name: str) -> list[str]:
        return [name_of(payload["socketId"]) for payload in self.heard_by(name, "user-joined")]

    def leaves_heard_by(self, name: str) -> list[tuple[str, str]]:
        """Returns names and reasons."""
        return [(name_of(payload["socketId"]), payload["reason"]) for payload in self.heard_by(name, "user-left")]

    def unread_by(self, name: str) -> int:
        """Returns bytes."""
        return self._engines[name].backlog

    def is_dropped(self, name: str) -> bool:
        return self._engines[name].dropped

    def is_inside(self, name: str) -> bool:
        _, client = self._sockets[name]
        return client.is_inside

    def epoch_of(self, name: str) -> int:
        """Returns the access epoch under which somebody is in a space."""
        _, client = self._sockets[name]
        assert client.place
        return client.place.authorization.epoch

    async def settled(self, space: SpaceKey = HALL) -> None:
        """Returns once everybody inside has heard what was published before: nothing more is on its way."""
        number = next(self._markers)
        places = {name: client.place for name, (_, client) in self._sockets.items() if client.is_inside}
        subspaces = {name: place.subspace for name, place in places.items() if place and place.space == space}
        for subspace in set(subspaces.values()):
            await self.say(FromMember("outside", subspace, MARKER, msgspec.Raw(b"%d" % number), ""), space)
        await eventually(lambda: all(self._has_heard(name, number) for name in subspaces), PATIENCE)

    def _has_heard(self, name: str, marker: int) -> bool:
        return self.is_dropped(name) or marker in self.heard_by(name, MARKER)

    # What is written in a space.

    def write(self, count: int = 1, subspace: str | None = "main", *, pad: int = 0) -> list[LoggedEvent]:
        """Writes messages to the log, each with `pad` bytes more, and tells nobody."""
        return [self.store.write(HALL, subspace, "x" * pad) for _ in range(count)]

    async def publish(self, *events: LoggedEvent, space: SpaceKey = HALL) -> None:
        """Publishes each in a message of its own on the space's channel, in this order."""
        for event in events:
            await self.say(Logged([event]), space)

    async def log(self, count: int = 1, subspace: str | None = "main") -> None:
        """Sends messages the whole way: the log, the bus, a replica, the space's channel."""
        await self.store.bus.publish(*self.write(count, subspace))

    async def say(self, message: Message, space: SpaceKey = HALL) -> None:
        """Publishes on the space's channel, as another replica does."""
        await self.redis.publish(cache.wire(space), messages.encode(message))

    # What Redis holds.

    async def members(self, space: SpaceKey = HALL) -> dict[str, Member]:
        """Returns the records by the names of their sockets."""
        stored: Any = await cast("Any", self.redis.hvals(cache.members(space)))
        return {name_of(member.socket_id): member for member in map(decode_member, stored)}

    async def version(self) -> int:
        return int(await self.redis.get(cache.version(HALL)) or 0)

    async def join_unheard(self, name: str, replica: str = "r2") -> None:
        """Adds a member of another replica whose announcement was lost."""
        member = make_member(name, replica)
        await cast("Any", self.redis.hset(cache.members(HALL), member.socket_id, encode_member(member)))
        await self.redis.incr(cache.version(HALL))

    async def join_again(self, member: Member) -> None:
        """Repeats another replica's join of the same record."""
        await self.replicas["r2"].presence.join(HALL, [make_join_request(member, "", 2**31)])

    async def leave_unheard(self, name: str, replica: str = "r2") -> None:
        await cast("Any", self.redis.hdel(cache.members(HALL), f"{replica}-{name}"))
        await self.redis.incr(cache.version(HALL))

    async def lose_lease(self, replica: str) -> None:
        """Lets its lease run out, as when the replica is frozen."""
        await self.redis.zadd(cache.REPLICAS, {replica: 1})

    async def has_lease(self, replica: str) -> bool:
        return await self.redis.zscore(cache.REPLICAS, replica) is not None

    async def spaces_to_sweep(self, replica: str) -> set[str]:
        """Returns the spaces where others look for its members, should it die."""
        names: Any = await cast("Any", self.redis.smembers(cache.replica_spaces(replica)))
        return {name.decode() for name in names}

    # What replicas do by and by.

    async def sweep(self, replica: str) -> set[str]:
        """Has the replica sweep and returns the names of the members swept."""
        return {name_of(member.socket_id) for _, member in await self.replicas[replica].presence.sweep()}

    async def beat(self, replica: str) -> None:
        """Renews the lease, with all that belongs to it."""
        await self.replicas[replica].lease._beat()

    async def stop(self, replica: str) -> None:
        """Stops a replica in order; its sockets are gone already."""
        await self.replicas[replica].stop()

    def flush(self, replica: str) -> None:
        """Has everybody at a replica hear what is only waiting for the end of the loop's turn."""
        if room := self.replicas[replica].broadcast.room(HALL, "main"):
            room.flush()

    async def told_all(self, replica: str) -> None:
        """Returns once a replica has said everything that its members did, and put right what it missed."""
        at, number = self.replicas[replica], next(self._markers)
        names = [name for name, (other, client) in self._sockets.items() if other is at and client.is_inside]

        async def heard() -> bool:
            await self.say(FromMember("outside", "main", MARKER, msgspec.Raw(b"%d" % number), ""))
            return all(self._has_heard(name, number) for name in names)

        await eventually(heard, PATIENCE)
        await at.publisher.flush()
        await at.poses._publish()

    async def die(self, replica: str) -> None:
        """Ends a replica, which gives nothing back."""
        await self.replicas[replica].die()

    async def reports(self) -> list[tuple[str, str, str | None]]:
        """Returns everything that spaces_auth has heard: kind, name, reason."""
        return [(change.kind, name_of(change.socket_id), change.reason) for change in await self.changes()]

    async def heartbeats(self) -> list[str]:
        """The names of those for whom a minute's heartbeat is sent."""
        for replica in self.replicas.values():
            await replica.reporter._beat()
        return [name for kind, name, _ in await self.reports() if kind == "heartbeat"]

    async def changes(self) -> list[PresenceChange]:
        for replica in self.replicas.values():
            await replica.reporter._flush()
        return self.store.reports

    @contextlib.contextmanager
    def leaving_fails(self, replica: str) -> Iterator[None]:
        """Has Redis refuse every leave, and nothing else."""
        presence = self.replicas[replica].presence
        with patch.object(presence, "leave", AsyncMock(side_effect=PresenceError(UNAVAILABLE))):
            yield

    async def redis_goes_away(self, replica: str) -> None:
        await self.replicas[replica].proxy.close()

    async def redis_comes_back(self, replica: str) -> None:
        await self.replicas[replica].proxy.open()
        await eventually(lambda: self.replicas[replica].held_spaces.ready, PATIENCE)


@contextlib.asynccontextmanager
async def running(redis_url: str, names: Sequence[str] = ("r1", "r2"), **intervals: Any) -> AsyncIterator[World]:
    """Runs replicas, each with a way of its own to Redis."""
    redis = cache.RedisClient(redis_url)
    broker = MemoryBroker()
    store = Store(broker, redis.redis)
    timings = patch.multiple(departure, RETRY_SECONDS=0.05, PATIENCE=0.2)
    async with contextlib.AsyncExitStack() as stack:
        ways = {name: await stack.enter_async_context(proxied(redis_url)) for name in names}
        replicas = {name: Replica(name, way, broker, Intervals(**intervals)) for name, way in ways.items()}
        with timings:
            await store.bus.start()
            for replica in replicas.values():
                await replica.start()
            try:
                yield World(redis.redis, store, replicas)
            finally:
                await asyncio.gather(*(replica.stop() for replica in replicas.values()))
                await store.bus.stop()
                await redis.stop()


def make_presence(redis: Redis, replica: str, lease_seconds: float = FAR) -> Presence:
    return Presence(redis, replica, lease_seconds)


def make_member(name: str, replica: str = "r1", subspace: str = "main") -> Member:
    return Member(
        socket_id=f"{replica}-{name}",
        stay_id=new_id(),
        replica=replica,
        subspace=subspace,
        user_account=name,
        guest_id=None,
        guest=False,
        display_name=name,
        position=Position(),
        avatar_data=None,
        joined_at=rfc3339(now()),
        role="member",
    )


def make_join_request(member: Member, person: str, max_users: int, predecessor: str = "") -> JoinRequest:
    member.person = person
    return JoinRequest(member, max_users, predecessor=predecessor)
