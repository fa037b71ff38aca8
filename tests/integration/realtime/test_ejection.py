"""Ejection against a real spaces_auth and Redis: sockets that lost access get the reason and are taken out.

Sockets are clients without a transport; the events written to them are recorded.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from libs.common import cache
from libs.common.clock import now
from libs.common.contracts import auth, moderation, spaces
from libs.common.contracts.auth import Empty
from libs.common.contracts.members import Member
from libs.common.contracts.moderation import ImposeSanction, Kick, LiftSanction, UpdateSettings
from libs.common.contracts.presence import Position
from libs.common.contracts.spaces import Join, Review
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from libs.common.spaces import LOBBY, SpaceKey
from libs.common.tokens import Token
from services.realtime.membership.authorization import Authorizer
from services.realtime.membership.ejection import Ejection
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, Place
from services.realtime.transport.packets import EventPacket
from tests.integration.common.world import account, caller, identity, proxied
from tests.integration.spaces_auth.world import World, emptied, fill, running
from tests.support.servers import Servers
from tests.support.waiting import eventually

PHOTO = SpaceKey("post", "alice/my-360-photo")
WHERE: dict[str, Any] = {"space_type": PHOTO.space_type, "space_id": PHOTO.space_id}


@pytest.fixture(scope="module")
async def _running(servers: Servers) -> AsyncIterator[World]:
    async with running(await servers.new_database(), servers.new_redis_database(), servers.hive_url) as world:
        await fill(world)
        yield world


@pytest.fixture
async def world(_running: World) -> AsyncIterator[World]:
    """A module's spaces_auth with the content of its world; nobody has entered yet."""
    yield _running
    await emptied(_running)


@dataclass
class Space:
    key: SpaceKey
    clients: dict[str, Client] = field(default_factory=dict)


@dataclass
class Replica:
    """The parts of a replica that ejection works on. `events` are those sent to each socket, `left` the reasons."""

    world: World
    ejection: Ejection
    held: dict[SpaceKey, Space]
    events: dict[str, list[Any]]
    left: dict[str, str]
    disconnected: list[str]
    silenced: list[str]

    async def enter(self, who: Identity, key: SpaceKey = PHOTO, *, entering: bool = False) -> Client:
        """As `entering.py` does."""
        sid = f"s-{who.id}"
        client = Client(sid, "/", cast("Any", None), Token(who, 2**53), "203.0.113.9", [])
        authorization = await Authorizer(self.world.bus)(client, key)
        member = Member(sid, "x", "r1", "main", who.account, None, who.guest, who.id, Position(), None, "")
        client.enter(Place(key, member, authorization))
        if not entering:
            client.arrive(seq=0)
        self.held.setdefault(key, Space(key)).clients[sid] = client
        return client

    async def code(self, client: Client) -> str:
        await eventually(lambda: client.sid in self.left)
        return str(self.events[client.sid][0]["code"])


@contextlib.asynccontextmanager
async def replica_of(world: World, redis: cache.RedisClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Replica]:
    held: dict[SpaceKey, Space] = {}
    events: dict[str, list[Any]] = {}
    left: dict[str, str] = {}
    disconnected: list[str] = []
    silenced: list[str] = []

    def to_one(client: Client, packet: EventPacket) -> None:
        _, payload = msgspec.json.decode(packet.text("/")[1:])
        events.setdefault(client.sid, []).append(payload)

    async def leave(client: Client, reason: str) -> None:
        if client.place:
            held[client.place.space].clients.pop(client.sid)
        client.step_out()
        left[client.sid] = reason

    async def silence(client: Client) -> None:
        silenced.append(client.sid)

    class Clients:
        def __iter__(self) -> Iterator[Client]:
            return iter([client for space in held.values() for client in space.clients.values()])

        async def disconnect(self, client: Client) -> None:
            disconnected.append(client.sid)

    monkeypatch.setattr(Broadcast, "to_one", staticmethod(to_one))
    ejection = Ejection(world.bus, redis.redis, held, Clients(), leave, silence)
    await ejection.start()
    await ejection.look()
    try:
        yield Replica(world, ejection, held, events, left, disconnected, silenced)
    finally:
        await ejection.stop()


@pytest.fixture
async def replica(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Replica]:
    async with replica_of(world, world.redis, monkeypatch) as found:
        yield found


async def ban(world: World, name: str = "dave") -> None:
    await world.call(moderation.ban, ImposeSanction(**WHERE, reason="rude", account=name), "mona")


async def test_a_banned_account_is_taken_out_by_the_event_and_nobody_else_is(replica: Replica) -> None:
    dave, carol = await replica.enter(account("dave")), await replica.enter(account("carol"))
    await ban(replica.world)
    replica.ejection.on_event(PHOTO, moderation.moderated.name)
    assert await replica.code(dave) == "banned"
    assert (replica.events[dave.sid], replica.left) == ([{"reason": "rude", "code": "banned"}], {dave.sid: "kicked"})
    assert carol.place
    epoch = await cache.read_epoch(replica.world.redis.redis, PHOTO)
    await eventually(lambda: carol.place and carol.place.authorization.epoch == epoch)


async def test_a_banned_account_is_taken_out_by_the_lease_renewal_if_the_event_is_lost(replica: Replica) -> None:
    dave = await replica.enter(account("dave"))
    await ban(replica.world)
    await replica.ejection.look()
    assert await replica.code(dave) == "banned"


async def test_guests_and_an_account_without_permission_are_taken_out_by_the_lease_renewal(
    replica: Replica,
) -> None:
    world = replica.world
    guest, dave = await replica.enter(identity("guest")), await replica.enter(account("dave"))
    await world.call(moderation.update_settings, UpdateSettings(**WHERE, guests_allowed=False), "alice")
    await replica.ejection.look()
    assert await replica.code(guest) == "forbidden"
    assert dave.place
    await eventually(lambda: dave.place and dave.place.authorization.settings["guests_allowed"] is False)

    plans = SpaceKey("document", "123")
    rolf = await replica.enter(account("rolf"), plans)
    await world.owner.sql("UPDATE space_roles SET account = 'ralf' WHERE account = 'rolf'")
    try:
        await cache.raise_epoch(world.redis.redis, plans)  # as sync_worker does
        await replica.ejection.look()
        assert await replica.code(rolf) == "not_found"
    finally:
        await world.owner.sql("UPDATE space_roles SET account = 'rolf' WHERE account = 'ralf'")


async def test_a_banned_account_that_was_entering_is_taken_out_by_the_lease_renewal(replica: Replica) -> None:
    """Authorised before the ban, registered after its event: the epoch tells."""
    dave = await replica.enter(account("dave"), entering=True)
    held = replica.held.pop(PHOTO)  # not there yet when the event comes
    await ban(replica.world)
    replica.ejection.on_event(PHOTO, moderation.moderated.name)
    replica.held[PHOTO] = held
    await replica.ejection.look()
    assert await replica.code(dave) == "banned"


async def test_a_kicked_account_is_taken_out_and_may_enter_again(replica: Replica) -> None:
    dave = await replica.enter(account("dave"))
    kick = Kick(**WHERE, reason="loud", account="dave")
    await replica.world.call(moderation.kick, kick, "mona")
    await replica.ejection.look()
    assert await replica.code(dave) == "kicked"
    again = await replica.enter(account("dave"))
    assert again.place
    again.place.after_seq = 1  # its snapshot holds the kick
    await cache.raise_epoch(replica.world.redis.redis, PHOTO)
    epoch = await cache.read_epoch(replica.world.redis.redis, PHOTO)
    await replica.ejection.look()
    await eventually(lambda: again.place and again.place.authorization.epoch == epoch)


async def test_a_banned_account_that_went_elsewhere_meanwhile_stays_there(replica: Replica) -> None:
    dave = await replica.enter(account("dave"))
    await ban(replica.world)
    async with dave.turn:
        replica.ejection.on_event(PHOTO, moderation.moderated.name)
        await eventually(lambda: replica.ejection._ejecting)
        replica.held[PHOTO].clients.clear()
        await replica.enter(account("dave"), LOBBY)
        dave.place = replica.held[LOBBY].clients[dave.sid].place
    await eventually(lambda: not replica.ejection._ejecting)
    assert (dave.sid in replica.left, dave.sid in replica.events) == (False, False)


async def test_a_logged_out_socket_is_disconnected_even_while_it_is_connecting(replica: Replica) -> None:
    dave = account("dave", token_id="token-1", login_id="login-1")
    before = await replica.enter(dave)
    await replica.enter(account("carol"))
    await replica.world.call(auth.logout, Empty(), account("dave", token_id="token-2", login_id=None))
    await replica.ejection.look()
    assert replica.disconnected == []
    await replica.world.call(auth.logout, Empty(), caller(Identity("account", "dave", "dave", token_id="token-1")))
    await replica.ejection.look()
    await eventually(lambda: replica.disconnected == [before.sid])
    late = await replica.enter(Identity("account", "dave", "dave", token_id="token-1"), LOBBY)
    await replica.ejection.look()
    await eventually(lambda: replica.disconnected.count(late.sid) >= 2)
    assert replica.events[before.sid][0]["code"] == "unauthorized"


async def test_a_review_waits_while_spaces_auth_does_not_answer(
    database_url: str, redis_url: str, hive_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxied(redis_url) as proxy, running(database_url, proxy.url, hive_url) as world:
        redis = cache.RedisClient(redis_url)
        async with replica_of(world, redis, monkeypatch) as replica:
            dave = await replica.enter(account("dave"), LOBBY)
            ban = ImposeSanction("global", "lobby", "rude", account="dave")
            await world.call(moderation.ban, ban, "olivia")
            await proxy.close()
            replica.ejection.on_event(LOBBY, moderation.moderated.name)
            await asyncio.gather(*(_fails(world) for _ in range(2)))
            await proxy.open()
            assert await replica.code(dave) == "banned"
        await redis.stop()


async def _fails(world: World) -> None:
    with pytest.raises(PresenceError):
        await world.call(spaces.review, Review("global", "lobby"), "carol")


async def mute(world: World, **how: Any) -> None:
    await world.call(moderation.mute, ImposeSanction(**WHERE, reason="loud", account="dave", **how), "mona")


def is_muted(client: Client) -> bool:
    return bool(client.place and client.place.authorization.muted)


async def test_who_is_muted_stays_and_is_silenced_and_may_speak_again_when_it_is_lifted(replica: Replica) -> None:
    dave, carol = await replica.enter(account("dave")), await replica.enter(account("carol"))
    await mute(replica.world)
    await replica.ejection.look()
    await eventually(lambda: is_muted(dave))
    await eventually(lambda: replica.silenced == [dave.sid])
    assert (replica.left, is_muted(carol)) == ({}, False)
    await replica.world.call(moderation.unmute, LiftSanction(**WHERE, reason="calm", account="dave"), "mona")
    await replica.ejection.look()
    await eventually(lambda: not is_muted(dave))


async def test_a_mute_that_ends_by_itself_is_looked_at_again_though_nothing_says_so(replica: Replica) -> None:
    await mute(replica.world, until=now() + timedelta(seconds=2))
    dave = await replica.enter(account("dave"))
    assert is_muted(dave)

    async def ended() -> bool:
        await replica.ejection.look()
        return not is_muted(dave)

    await eventually(ended)


async def test_an_admission_of_one_who_is_muted_is_asked_about_each_time(replica: Replica) -> None:
    await mute(replica.world)
    dave = await replica.enter(account("dave"))
    joined = await replica.world.call(spaces.join, Join(PHOTO.space_type, PHOTO.space_id), "dave")
    dave.token = await replica.world.gatekeeper().identify(joined.session_token, "203.0.113.9")
    assert dave.token.admission
    assert dave.token.admission.muted
    authorizer = Authorizer(replica.world.bus)
    await authorizer.ask(dave, PHOTO)  # the space is known now
    assert (await authorizer(dave, PHOTO)).muted
