"""Entering and leaving a space: authorised, counted, announced, and told everything once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from libs.common.bus.base import Bus, Caller
from libs.common.clock import now, rfc3339
from libs.common.contracts import chat
from libs.common.contracts.chat import GetSnapshot, Snapshot
from libs.common.contracts.members import Member
from libs.common.contracts.presence import EntityEventOut, JoinSpace
from libs.common.contracts.schema import dump
from libs.common.contracts.spaces import Authorization
from libs.common.edge.commands import require_admission_to
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.metrics import MEMBERS
from libs.common.roles import MODERATING
from libs.common.spaces import SpaceKey, check_subspace
from libs.common.tasks.batching import Batches
from services.realtime.cluster.presence import UNBOUNDED, JoinRequest, Presence
from services.realtime.membership.authorization import MOST_AT_ONCE, Authorizer
from services.realtime.membership.departure import Departure
from services.realtime.membership.door import Door
from services.realtime.membership.grace import Grace
from services.realtime.membership.reporter import Reporter
from services.realtime.poses.ticker import PoseTicker
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, Place, PoseForm
from services.realtime.space.held_space import Enter, HeldSpace
from services.realtime.space.held_spaces import HeldSpaces
from services.realtime.transport.packets import EventPacket

INTEREST = "interest"  # the feature of clients that want near members often and far ones seldom


class SharedSnapshot:
    """chat's answer, its messages as JSON that is made once for all who asked together."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.seq = snapshot.seq
        self.messages = msgspec.Raw(msgspec.json.encode([dump(message) for message in snapshot.messages]))


class Entering:
    """Every socket of this replica that is in a space went through here.

    Those who enter a space at the same moment share what it costs: one script adds them, one question to chat gets
    the snapshot for all.
    """

    def __init__(
        self, replica: str, bus: Bus, held_spaces: HeldSpaces, presence: Presence, broadcast: Broadcast,
        reporter: Reporter, poses: PoseTicker, departure: Departure, grace: Grace,
    ) -> None:  # fmt: skip
        self._replica, self._bus, self._held_spaces = replica, bus, held_spaces
        self._presence, self._broadcast, self._reporter, self._poses = presence, broadcast, reporter, poses
        self._departure, self._grace = departure, grace
        self._authorize = Authorizer(bus)
        self._join = Batches(presence.join, MOST_AT_ONCE)
        self._snapshot = Batches(self._ask_snapshot)
        self._door = Door()

    async def enter(self, client: Client, request: JoinSpace) -> dict[str, Any]:
        """Leave where the socket is, enter the new place; the ack is the snapshot."""
        async with self._door:
            return await self._enter(client, request)

    async def _enter(self, client: Client, request: JoinSpace) -> dict[str, Any]:
        key = SpaceKey.parse(request.space_type, request.space_id)
        check_subspace(request.subspace)
        require_admission_to(client.token, key)
        authorization = await self._authorize(client, key)
        if client.place and (client.place.space, client.place.subspace) != (key, request.subspace):
            await self.leave(client, "left")
        space = await self._held_spaces.hold(key)
        before = self._step_out(client) if client.place else None
        if before and request.after_seq is not None:  # it may have been told more than it knew when it asked
            request.after_seq = max(request.after_seq, space.seq)
        try:
            return await self._register(client, space, request, authorization)
        except BaseException:
            await self._undo(client, space)
            raise
        finally:
            if before:  # it entered again where it was: its own successor
                self._reporter.report("leave", key, before.member, "replaced")
                await self._held_spaces.release(space)

    async def _register(
        self, client: Client, space: HeldSpace, request: JoinSpace, authorization: Authorization
    ) -> dict[str, Any]:
        member = _member(client, self._replica, request, authorization)
        client.place = Place(
            space.key,
            member,
            authorization,
            form=PoseForm.of(request.features),
            wants_interest=INTEREST in request.features,
        )
        space.begin_entering(client)
        most = UNBOUNDED if authorization.role in MODERATING else authorization.max_users
        joined = await self._join.do(space.key, JoinRequest(member, client.person, most))
        if joined.epoch != authorization.epoch:  # a ban or a change of settings while it was entering
            authorization = client.place.authorization = await self._authorize.anew(client, space.key)
        if joined.replaced and joined.replaced.socket_id != member.socket_id:
            self._reporter.report("leave", space.key, joined.replaced, "replaced")
        self._reporter.report("join", space.key, member)
        client.place.reported = True
        snapshot = await self._snapshot.do((space.key, request.subspace), None)
        told = await self._tell(client, space, request, authorization, snapshot)
        MEMBERS.inc()
        return told

    async def _ask_snapshot(self, where: tuple[SpaceKey, str], askers: Sequence[None]) -> list[SharedSnapshot]:
        space, subspace = where
        caller = Caller(service_identity("realtime"), new_id())
        request = GetSnapshot(space.space_type, space.space_id, subspace)
        return [SharedSnapshot(await self._bus.call(chat.snapshot, request, caller))] * len(askers)

    async def _tell(
        self, client: Client, space: HeldSpace, request: JoinSpace, authorization: Authorization,
        snapshot: SharedSnapshot,
    ) -> dict[str, Any]:  # fmt: skip
        """`space-joined`, then what a rejoining client missed, in the space's own order."""
        missed = []
        if request.after_seq is not None:
            missed = await space.missed_since(request.after_seq, snapshot.seq, request.subspace)
        told: dict[str, Any] = {}

        def tell(users: msgspec.Raw, entities: Sequence[EntityEventOut]) -> None:
            told.update(_space_joined(space.key, request.subspace, authorization, snapshot, users, entities))
            packet = EventPacket("space-joined", told)
            client.snapshot_bytes = len(packet.frame(client.namespace))
            self._broadcast.to_one(client, packet)
            for event in missed:
                for packet in self._broadcast.rendered(event):
                    self._broadcast.to_one(client, packet)

        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        space.put(Enter(client, snapshot.seq, tell, done))
        await done
        return told

    async def _undo(self, client: Client, space: HeldSpace) -> None:
        place, client.place = client.place, None
        space.forget(client)
        try:
            if place:
                await self._depart(place, "left")
        finally:
            await self._held_spaces.release(space)

    async def leave(self, client: Client, reason: str) -> None:
        """Out of the space the socket is in, if any. `reason` is what others are told."""
        if place := self._step_out(client):
            await self._release(place.space)
            await self._depart(place, reason)

    async def drop(self, client: Client) -> None:
        """Its connection broke: whoever can come back as the same person is waited for."""
        if not client.person:
            await self.leave(client, "disconnected")
        elif place := self._step_out(client):
            await self._grace.begin(place.space, place.member, client.person)
            await self._release(place.space)

    def _step_out(self, client: Client) -> Place | None:
        """Out of everything on this replica; the others do not know yet."""
        place = client.place
        if place is None:
            return None
        self._broadcast.expel(client)
        client.place = None
        self._poses.forget_socket(place.space, place.subspace, client.sid)
        MEMBERS.dec()
        if space := self._held_spaces.by_key.get(place.space):
            space.forget(client)
        return place

    async def _release(self, key: SpaceKey) -> None:
        if space := self._held_spaces.by_key.get(key):
            await self._held_spaces.release(space)

    async def _depart(self, place: Place, reason: str) -> None:
        self._departure.expect(place.space)
        leave = self._departure.now if place.reported else self._departure.undo
        await leave(place.space, place.member, reason)

    async def register_again(self) -> None:
        """Put this replica's members back after its lease had run out or Redis lost them."""
        for space in list(self._held_spaces.by_key.values()):
            places = {sid: client.place for sid, client in space.clients.items() if client.place}
            lost = await self._presence.missing(space.key, places)
            if lost:
                await self._register_lost(space.key, [place for sid, place in places.items() if sid in lost])

    async def _register_lost(self, key: SpaceKey, places: list[Place]) -> None:
        """Where they are now, and as new clients: the sweeper may have ended the old ones."""
        for place in places:
            self._reporter.report("leave", key, place.member, "lost")
            moved = self._poses.position_of(key, place.subspace, place.member.socket_id)
            place.member.position = moved or place.member.position
            place.member.stay_id = new_id()
        await asyncio.gather(*(self._join.do(key, JoinRequest(place.member, "", UNBOUNDED)) for place in places))
        for place in places:
            self._reporter.report("join", key, place.member)
        self._poses.tell_all(key)


def _member(client: Client, replica: str, request: JoinSpace, authorization: Authorization) -> Member:
    identity = client.token.identity
    return Member(
        socket_id=client.sid,
        stay_id=new_id(),
        replica=replica,
        subspace=request.subspace,
        user_account=identity.account,
        guest_id=None if identity.account else identity.id,
        guest=identity.account is None,
        display_name=identity.display_name,
        position=request.position,
        avatar_data=request.avatar_data,
        joined_at=rfc3339(now()),
        role=authorization.role,
    )


def _space_joined(
    key: SpaceKey, subspace: str, authorization: Authorization, snapshot: SharedSnapshot, users: msgspec.Raw,
    entities: Sequence[EntityEventOut],
) -> dict[str, Any]:  # fmt: skip
    """A `SpaceJoined`, of which what is large is JSON already."""
    return {
        "success": True,
        "spaceType": key.space_type,
        "spaceId": key.space_id,
        "subspace": subspace,
        "role": authorization.role,
        "seq": snapshot.seq,
        "users": users,
        "entities": msgspec.Raw(msgspec.json.encode(entities)),
        "messages": snapshot.messages,
        "settings": authorization.settings,
        "timestamp": rfc3339(now()),
    }
