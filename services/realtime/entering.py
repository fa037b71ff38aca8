"""Entering and leaving a space: authorised, counted, announced, and told everything once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from libs.common.bus.base import Bus
from libs.common.clock import now, rfc3339
from libs.common.contracts import chat, spaces
from libs.common.contracts.chat import GetSnapshot, Snapshot
from libs.common.contracts.presence import EntityEventOut, JoinSpace, SpaceJoined
from libs.common.contracts.schema import dump
from libs.common.contracts.spaces import Authorization, Authorize
from libs.common.edge import require_admitted
from libs.common.ids import new_id
from libs.common.metrics import MEMBERS
from libs.common.spaces import SpaceKey, check_subspace
from services.realtime.broadcast import Broadcast
from services.realtime.fanout import Fanout
from services.realtime.frames import Outgoing
from services.realtime.held_space import Enter, HeldSpace
from services.realtime.poses import PoseTicker
from services.realtime.presence import Presence
from services.realtime.reporter import Reporter
from services.realtime.sessions import Place, Session
from services.realtime.wire import Member

ENTERING_AT_ONCE = 32  # sockets of this replica
POSE_BATCH = "pose-batch"  # the feature of clients that take a tick's poses as one `aframe-batch`


class Entering:
    """Every socket of this replica that is in a space went through here."""

    def __init__(
        self, replica: str, bus: Bus, fanout: Fanout, presence: Presence, broadcast: Broadcast, reporter: Reporter,
        poses: PoseTicker,
    ) -> None:  # fmt: skip
        self._replica, self._bus, self._fanout = replica, bus, fanout
        self._presence, self._broadcast, self._reporter, self._poses = presence, broadcast, reporter, poses
        self._turns = asyncio.Semaphore(ENTERING_AT_ONCE)

    async def enter(self, session: Session, request: JoinSpace) -> dict[str, Any]:
        """Leave where the socket is, enter the new place; the ack is the snapshot.

        A whole room that comes at once waits here for its turn, not in the services' queues, where the deadline of
        what waits longest would run out again and again.
        """
        async with self._turns:
            return await self._enter(session, request)

    async def _enter(self, session: Session, request: JoinSpace) -> dict[str, Any]:
        key = SpaceKey.parse(request.space_type, request.space_id)
        check_subspace(request.subspace)
        require_admitted(session.token, {"space_type": key.space_type, "space_id": key.space_id})
        authorization = await self._authorize(session, key)
        if session.place:
            same = session.place.space == key and session.place.subspace == request.subspace
            await self.leave(session, "replaced" if same else "left")
        space = await self._fanout.hold(key)
        try:
            return await self._register(session, space, request, authorization)
        except BaseException:
            await self._undo(session, space)
            raise

    async def _authorize(self, session: Session, key: SpaceKey) -> Authorization:
        request = Authorize(key.space_type, key.space_id)
        return await self._bus.call(spaces.authorize, request, session.caller())

    async def _register(
        self, session: Session, space: HeldSpace, request: JoinSpace, authorization: Authorization
    ) -> dict[str, Any]:
        member = _member(session, self._replica, request)
        session.place = Place(space.key, member, authorization, batches=POSE_BATCH in request.features)
        space.sessions[session.sid] = session  # from here on it collects durable events
        epoch = await self._presence.join(space.key, member, authorization.max_users)
        if epoch != authorization.epoch:  # a ban or a change of settings while it was entering
            authorization = session.place.authorization = await self._authorize(session, space.key)
        self._reporter.report("join", space.key, member)
        snapshot_request = GetSnapshot(space.key.space_type, space.key.space_id, request.subspace)
        snapshot = await self._bus.call(chat.snapshot, snapshot_request, session.caller())
        told = await self._tell(session, space, request, authorization, snapshot)
        MEMBERS.inc()
        return told

    async def _tell(
        self, session: Session, space: HeldSpace, request: JoinSpace, authorization: Authorization, snapshot: Snapshot
    ) -> dict[str, Any]:
        """`space-joined`, then what a rejoining client missed, in the space's own order."""
        missed = []
        if request.after_seq is not None:
            missed = await space.missed_since(request.after_seq, snapshot.seq, request.subspace)
        told: dict[str, Any] = {}

        def tell(others: Sequence[Member], entities: Sequence[EntityEventOut]) -> None:
            told.update(_space_joined(space.key, request.subspace, authorization, snapshot, others, entities))
            packet = Outgoing("space-joined", told)
            session.snapshot_bytes = len(packet.frame(session.namespace))
            self._broadcast.to_one(session, packet)
            for event in missed:
                for packet in self._broadcast.rendered(event):
                    self._broadcast.to_one(session, packet)

        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        space.put(Enter(session, snapshot.seq, tell, done))
        await done
        return told

    async def _undo(self, session: Session, space: HeldSpace) -> None:
        place, session.place = session.place, None
        space.sessions.pop(session.sid, None)
        try:
            if place:
                for member in await self._presence.leave(space.key, [session.sid], "left"):
                    self._reporter.report("leave", space.key, member, "left")
        finally:
            await self._fanout.release(space)

    async def leave(self, session: Session, reason: str) -> None:
        """Out of the space the socket is in, if any. `reason` is what others are told."""
        place = session.place
        if place is None:
            return
        self._broadcast.expel(session)
        session.place = None
        self._poses.drop(place.space, place.subspace, session.sid)
        MEMBERS.dec()
        self._reporter.report("leave", place.space, place.member, reason)
        space = self._fanout.spaces.get(place.space)
        if space:
            space.sessions.pop(session.sid, None)
        try:
            await self._presence.leave(place.space, [session.sid], reason)
            if space and not space.sessions:
                await self._presence.forget_space(place.space)
        finally:
            if space:
                await self._fanout.release(space)

    async def register_again(self) -> None:
        """Put this replica's members back after its lease had run out or Redis lost them."""
        for space in list(self._fanout.spaces.values()):
            for session in list(space.sessions.values()):
                if session.place:
                    await self._register_one_again(space.key, session.place)

    async def _register_one_again(self, key: SpaceKey, place: Place) -> None:
        """As a new session: the sweeper may have ended the old one."""
        self._reporter.report("leave", key, place.member, "lost")
        place.member.session_id = new_id()
        await self._presence.join(key, place.member, max_users=2**31)
        self._reporter.report("join", key, place.member)


def _member(session: Session, replica: str, request: JoinSpace) -> Member:
    identity = session.token.identity
    return Member(
        socket_id=session.sid,
        session_id=new_id(),
        replica=replica,
        subspace=request.subspace,
        user_account=identity.account,
        guest_id=None if identity.account else identity.id,
        guest=identity.account is None,
        display_name=identity.display_name,
        position=request.position,
        avatar_data=request.avatar_data,
        joined_at=rfc3339(now()),
    )


def _space_joined(
    key: SpaceKey,
    subspace: str,
    authorization: Authorization,
    snapshot: Snapshot,
    others: Sequence[Member],
    entities: Sequence[EntityEventOut],
) -> dict[str, Any]:
    joined = SpaceJoined(
        success=True,
        space_type=key.space_type,
        space_id=key.space_id,
        subspace=subspace,
        role=authorization.role,
        seq=snapshot.seq,
        users=[member.joined() for member in others],
        entities=list(entities),
        messages=[dump(message) for message in snapshot.messages],
        settings=authorization.settings,
        timestamp=rfc3339(now()),
    )
    built: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(joined))  # entities are JSON nobody has read
    return built
