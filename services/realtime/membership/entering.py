"""Enters and leaves spaces: every client is authorised, counted, announced, and told everything once.

The states of a client, and its four transitions (`rooms/client.py`; each in the client's own turn):

    OUTSIDE ──enter──▶ ENTERING ──arrive──▶ INSIDE
       ▲                │    │              │   │
       └────step_out────┘    │              │   │
       └────step_out─────────┼──────────────┘   │
                             └──drop──▶ DROPPED ◀──drop

Entering is one way; a step that fails undoes those before it (`_back_out`):

    door ─▶ authorize ─▶ hold the space ─▶ register in Redis ─▶ snapshot from chat ─▶ welcome, in the space's turn

Each part of the state has one owner:

    the state and the place            Client
    events that come while ENTERING    Place.gathered: Broadcast fills it, `arrive` returns it
    the clients of a space             HeldSpace.clients; its `entering` is the part that waits for the welcome
    who hears the room (INSIDE)        Room, by Broadcast.admit and Broadcast.expel
    the member                         Redis, by Presence; the Roster is this replica's copy
    the member of a DROPPED client     Grace, until its person is back or its seconds are over
    members that are yet to leave      Departure: the sweeper must find their space
    what spaces_auth has heard         Reporter: it reports no leave without a join
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Raw, structs

from libs.common.bus.base import Bus
from libs.common.clock import now, rfc3339
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.members import Member
from libs.common.contracts.presence import JoinSpace, Position
from libs.common.contracts.spaces import Authorization
from libs.common.edge.commands import require_admission_to
from libs.common.edge.document_numbers import DocumentNumbers
from libs.common.errors import FORBIDDEN, RATE_LIMITED, UNAVAILABLE, PresenceError
from libs.common.ids import new_id
from libs.common.metrics import MEMBERS
from libs.common.roles import MODERATING
from libs.common.spaces import SpaceKey, check_subspace
from libs.common.tasks.batching import Batches
from services.realtime.cluster.presence import UNBOUNDED, JoinRequest, JoinResult, Presence
from services.realtime.cluster.scripts import NOBODY
from services.realtime.membership.authorization import MOST_AT_ONCE, Authorizer
from services.realtime.membership.departure import Departure
from services.realtime.membership.door import Door
from services.realtime.membership.grace import Grace
from services.realtime.membership.reporter import Reporter
from services.realtime.membership.returning import inherit, limit_to_rights
from services.realtime.membership.snapshot import Snapshot, Snapshots, space_joined
from services.realtime.poses.ticker import PoseTicker
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, ClientState, Place, PoseForm
from services.realtime.rooms.speech import avatar_on_entering
from services.realtime.space.event_feed import MOST_REPLAYED
from services.realtime.space.held_space import HeldSpace
from services.realtime.space.held_spaces import HeldSpaces
from services.realtime.space.inbox import Present, Resync
from services.realtime.transport.packets import EventPacket

MOST_TRIES = 20  # to join, while the access epoch moves or others of the same person come back
INTEREST = "interest"  # the feature of clients that want near members often and far ones seldom


class Entering:
    """Lets this replica's clients into spaces, and out of them.

    Those who enter a space at the same moment share what it costs: one script adds them, one question to chat gets
    the snapshot for all.
    """

    def __init__(
        self,
        bus: Bus,
        held_spaces: HeldSpaces,
        presence: Presence,
        broadcast: Broadcast,
        poses: PoseTicker,
        reporter: Reporter,
        departure: Departure,
        grace: Grace,
    ) -> None:
        self._held_spaces = held_spaces
        self._presence = presence
        self._broadcast = broadcast
        self._poses = poses
        self._reporter = reporter
        self._departure = departure
        self._grace = grace
        self._authorizer = Authorizer(bus)
        self._numbers = DocumentNumbers(bus)
        self._snapshots = Snapshots(bus)
        self._join = Batches(presence.join, MOST_AT_ONCE)
        self._door = Door()

    async def enter(self, client: Client, request: JoinSpace) -> dict[str, Any]:
        """Leaves where the client is, enters the new place, sends the snapshot, and returns what the ack says of it.

        Raises what the policy says (`not_found`, `banned`, ...), `space_full`, or `unavailable`.
        """
        async with self._door:
            if client.state is ClientState.DROPPED:
                raise PresenceError(FORBIDDEN, "This connection is closed.")
            key = await self._numbers.key(SpaceKey.parse(request.space_type, request.space_id), client.caller())
            check_subspace(request.subspace)
            require_admission_to(client.token, key)
            authorization = await self._authorizer(client, key)
            if client.place and (client.place.space, client.place.subspace) != (key, request.subspace):
                await self.leave(client, "left")
            self._require_openable(client, key, request.subspace, authorization)
            space = await self._held_spaces.hold(key)
            return await self._enter_held(client, space, request, authorization)

    def _require_openable(self, client: Client, key: SpaceKey, subspace: str, authorization: Authorization) -> None:
        """Raises `rate_limited` for one who opens spaces or subspaces that nobody is in, one after the other."""
        space = self._held_spaces.by_key.get(key)
        is_open = (space is not None and space.is_open(subspace)) or authorization.role in MODERATING
        if not is_open and client.exceeds_opened():
            raise PresenceError(RATE_LIMITED, "You opened too many empty spaces; wait a minute.")

    async def _enter_held(
        self, client: Client, space: HeldSpace, request: JoinSpace, authorization: Authorization
    ) -> dict[str, Any]:
        predecessor = self._step_out(client)  # of a client that enters again where it is
        if predecessor and request.after_seq is not None:  # it may have been told more than it knew when it asked
            request.after_seq = max(request.after_seq, space.seq)
        client.enter(_new_place(client, space.key, request, authorization, self._presence.replica))
        if predecessor:
            inherit(client.placed(), self._as_it_is(space.key, predecessor.member), request)
        space.begin_entering(client)
        MEMBERS.inc()
        try:
            place = await self._register(client, space, request)
            snapshot = await self._snapshots.of(space.key, place.subspace)
            return await self._welcome(client, space, place, snapshot, request.after_seq)
        except BaseException:
            await self._back_out(client, space)
            raise
        finally:
            if predecessor:
                self._reporter.leave(space.key, predecessor.member, "replaced")
                await self._held_spaces.release(space)

    async def _register(self, client: Client, space: HeldSpace, request: JoinSpace) -> Place:
        """Makes the client a member, by an authorization of the epoch that joining finds: nobody is shown before.

        A person who is here already, or was a moment ago, goes on as they were (`inherit`).
        """
        place, predecessor = client.placed(), ""
        for _ in range(MOST_TRIES):
            joined = await self._try_to_join(client, space, place, predecessor)
            if joined.predecessor:
                inherit(place, self._as_it_is(space.key, joined.predecessor), request)
                predecessor = joined.predecessor.socket_id
            elif joined.is_stale:  # a ban or a change of settings while it was entering
                place.authorization = await self._authorizer.ask(client, space.key)
                place.member.role = place.authorization.role
                limit_to_rights(place)
            else:
                break
        else:
            raise PresenceError(UNAVAILABLE, "The space's access changes all the time.")
        if joined.replaced and joined.replaced.socket_id != place.member.socket_id:
            place.replaces = joined.replaced.socket_id
            self._reporter.leave(space.key, joined.replaced, "replaced")
        self._reporter.join(space.key, place.member)
        return place

    async def _try_to_join(self, client: Client, space: HeldSpace, place: Place, predecessor: str) -> JoinResult:
        authorization = place.authorization
        moderates = authorization.role in MODERATING
        space.require_subspace(client, place.subspace, moderates=moderates)
        most = UNBOUNDED if moderates else authorization.max_users
        return await self._join.do(space.key, JoinRequest(place.member, most, authorization.epoch, predecessor))

    def _as_it_is(self, key: SpaceKey, member: Member) -> Member:
        """Returns a member's record with its latest pose, as far as this replica has heard it."""
        pose = self._poses.pose_of(key, member.subspace, member.socket_id)
        position = self._poses.position_of(key, member.subspace, member.socket_id)
        return structs.replace(member, position=position or member.position, pose=Raw(pose) if pose else member.pose)

    async def _welcome(
        self, client: Client, space: HeldSpace, place: Place, snapshot: Snapshot, after_seq: int | None
    ) -> dict[str, Any]:
        """Sends `space-joined`, then what a rejoining client missed, in the space's own order. Returns the ack."""
        missed = await self._missed(client, space, place, after_seq, snapshot.seq)
        gap = missed is None
        ack: dict[str, Any] = {"role": place.authorization.role, "seq": snapshot.seq, "gap": gap}

        def send(present: Present) -> None:
            pose = self._poses.pose_of(place.space, place.subspace, client.sid)
            payload = space_joined(place, snapshot, present, pose, gap=gap)
            packets = [EventPacket("space-joined", payload)]
            packets += [packet for event in missed or () for packet in self._broadcast.rendered(event)]
            client.snapshot_bytes = sum(len(packet.frame(client.namespace)) for packet in packets)
            for packet in packets:
                self._broadcast.to_one(client, packet)
            entities = len(present.entities)
            ack["counts"] = {"users": present.user_count, "entities": entities, "messages": snapshot.message_count}

        await space.admit(client, snapshot.seq, send)
        return ack

    async def _missed(
        self, client: Client, space: HeldSpace, place: Place, after_seq: int | None, until: int
    ) -> Sequence[LoggedEvent] | None:
        """Returns the events to send again; None where there are too many of them, of this client or its address."""
        if after_seq is None or after_seq >= until:
            return []
        if client.exceeds_replayed(min(until - after_seq, MOST_REPLAYED)):
            return None
        return await space.events.missed_since(after_seq, until, place.subspace)

    async def _back_out(self, client: Client, space: HeldSpace) -> None:
        """Undoes an entering that failed, unless the client was taken out meanwhile, with all that it held.

        A place that was taken over goes on waiting for its person, who tries again.
        """
        place = self._step_out(client)
        if place is None:
            return
        try:
            if place.replaces:
                await self._grace.begin(place.space, place.member)
            else:
                await self._depart(place, "left")
        finally:
            await self._held_spaces.release(space)

    async def leave(self, client: Client, reason: str) -> None:
        """Takes the client out of the space that it is in, if any. The others are told `reason`."""
        if place := self._step_out(client):
            await self._release(place.space)
            await self._depart(place, reason)

    async def drop(self, client: Client) -> None:
        """Ends a client whose connection broke; a person who can come back is waited for."""
        place = self._take_out(client, client.drop())
        if place is None:
            return
        if place.member.person:
            await self._grace.begin(place.space, self._as_it_is(place.space, place.member))
            await self._release(place.space)
        else:
            await self._release(place.space)
            await self._depart(place, "disconnected")

    def _step_out(self, client: Client) -> Place | None:
        return self._take_out(client, client.step_out())

    def _take_out(self, client: Client, place: Place | None) -> Place | None:
        """Removes the client from everything on this replica; the others do not know yet."""
        if place is None:
            return None
        self._broadcast.expel(client, place)
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
        await self._departure.leave(place.space, place.member, reason)

    async def register_again(self) -> None:
        """Puts this replica's members back after its lease had run out or Redis lost them."""
        for space in list(self._held_spaces.by_key.values()):
            places = {sid: client.place for sid, client in space.clients.items() if client.place}
            lost = await self._presence.missing(space.key, places)
            if lost:
                space.entity_sync.has_lost = True
                await self._register_lost(space.key, [place for sid, place in places.items() if sid in lost])

    async def _register_lost(self, key: SpaceKey, places: list[Place]) -> None:
        """Registers members where they are now, and as new stays: the sweeper may have ended the old ones."""
        for place in places:
            self._reporter.leave(key, place.member, "lost")
            moved = self._poses.position_of(key, place.subspace, place.member.socket_id)
            place.member.position = moved or place.member.position
            place.member.stay_id = new_id()
        requests = [JoinRequest(place.member, UNBOUNDED, predecessor=NOBODY) for place in places]
        await asyncio.gather(*(self._join.do(key, request) for request in requests))
        for place in places:
            self._reporter.join(key, place.member)
        if space := self._held_spaces.by_key.get(key):
            space.put(Resync(lost=True))  # what they spawned went with them


def _new_place(client: Client, key: SpaceKey, request: JoinSpace, authorization: Authorization, replica: str) -> Place:
    identity = client.token.identity
    has_avatar = request.avatar_data is not UNSET
    member = Member(
        socket_id=client.sid,
        stay_id=new_id(),
        replica=replica,
        subspace=request.subspace,
        user_account=identity.account,
        guest_id=None if identity.account else identity.id,
        guest=identity.account is None,
        display_name=identity.display_name,
        position=request.position or Position(),
        avatar_data=request.avatar_data if has_avatar else None,
        joined_at=rfc3339(now()),
        role=authorization.role,
        person=client.person,
    )
    form = PoseForm.of(request.features)
    place = Place(key, member, authorization, form, wants_interest=INTEREST in request.features)
    member.avatar_data = avatar_on_entering(place)
    return place
