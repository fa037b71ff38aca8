"""networked-aframe's `socketio` adapter, unmodified: its rooms are our spaces, its occupants our members.

`joinRoom` → `connectSuccess`, then `occupantsChanged` to all who speak it; `send` and `broadcast` are
relayed with `from` stamped here, in order and never merged, so `isFirstSync` and `r` packets arrive.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from libs.common.bus.base import Bus
from libs.common.contracts import spaces
from libs.common.contracts.presence import JoinSpace, NafConnected, NafOccupants, NafPacket, NafPacketOut, NafRoom
from libs.common.contracts.spaces import ResolveRoom
from libs.common.errors import FORBIDDEN, INVALID_INPUT, PresenceError
from libs.common.spaces import SpaceKey
from services.realtime.broadcast import Broadcast
from services.realtime.entering import Entering
from services.realtime.fanout import Fanout
from services.realtime.frames import Outgoing
from services.realtime.held_space import HeldSpace
from services.realtime.naf_entities import Creators
from services.realtime.relay import Relays
from services.realtime.sessions import Place, Session
from services.realtime.wire import Member, Relay

LARGE_ROOM = 50  # members; above it occupants are told at most twice a second
COALESCE_SECONDS = 0.5
MOST_HELD_BACK = 1024  # packets for a socket that is joining


class Naf:
    def __init__(self, bus: Bus, entering: Entering, relays: Relays, fanout: Fanout) -> None:
        self._bus, self._entering, self._relays = bus, entering, relays
        self._due: set[tuple[SpaceKey, str]] = set()
        self._creators = Creators()
        self._joining: dict[str, list[Callable[[], None]]] = {}  # what was sent to sockets that are not told yet
        fanout.roster_changed = self.roster_changed
        fanout.relayed = self._relayed

    async def join_room(self, session: Session, request: NafRoom) -> dict[str, Any]:
        """Enter; the ack is the snapshot, which the adapter does not ask for."""
        room = await self._bus.call(spaces.resolve_room, ResolveRoom(request.room), session.caller())
        sent = self._joining[session.sid] = []
        try:
            told = await self._entering.enter(session, JoinSpace(room.space_type, room.space_id, room.subspace))
            if session.place:
                self._welcome(session, session.place)
        finally:
            del self._joining[session.sid]
        for deliver in sent:
            deliver()
        return told

    def _welcome(self, session: Session, place: Place) -> None:
        """The occupants before anything that one of them sends: the adapter drops what comes from a stranger."""
        Broadcast.to_one(session, Outgoing("connectSuccess", NafConnected(_milliseconds(place.member))))
        place.speaks_naf = True
        space = self._relays.space(place)
        Broadcast.to_one(session, _occupants(space, place.subspace))
        self.roster_changed(space, place.subspace)

    async def broadcast(self, session: Session, packet: NafPacket) -> dict[str, Any]:
        if session.place is None:
            raise PresenceError(FORBIDDEN, "Join a room first.")
        told = NafPacketOut(session.sid, packet.type, packet.data)
        self._clear_the_way(self._relays.space(session.place), session.place.subspace, told)
        self._relays.to_others(session.place, "broadcast", told)
        return {}

    async def send(self, session: Session, packet: NafPacket) -> dict[str, Any]:
        """Raises `not_found` for an occupant who is not in the room."""
        if session.place is None:
            raise PresenceError(FORBIDDEN, "Join a room first.")
        if packet.to is None:
            raise PresenceError(INVALID_INPUT, "A send names its occupant in `to`.")
        told = NafPacketOut(session.sid, packet.type, packet.data, packet.to)
        if not self._is_held_back(packet.to, partial(self._send_late, session, session.place, told)):
            self._send(session.place, packet.to, told)
        return {}

    def _send(self, place: Place, to: str, packet: NafPacketOut) -> None:
        self._clear_the_way(self._relays.space(place), place.subspace, packet)
        self._relays.to_one(place, to, "send", packet)

    def _send_late(self, session: Session, place: Place, packet: NafPacketOut) -> None:
        if session.place is place and packet.to:
            with suppress(PresenceError):  # the other left meanwhile
                self._send(place, packet.to, packet)

    def _relayed(self, space: HeldSpace, item: Relay) -> bool:
        """Whether what comes from another replica may be delivered now."""
        if item.event not in ("send", "broadcast"):
            return True
        if item.to and self._is_held_back(item.to, partial(self._deliver_late, space, item)):
            return False
        self._clear_the_way(space, item.subspace, msgspec.json.decode(item.payload, type=NafPacketOut))
        return True

    def _deliver_late(self, space: HeldSpace, item: Relay) -> None:
        if self._relayed(space, item):
            space.put(item)

    def _is_held_back(self, target: str, deliver: Callable[[], None]) -> bool:
        """Whether the target is just joining; then it gets it once it knows the occupants."""
        sent = self._joining.get(target)
        if sent is not None and len(sent) < MOST_HELD_BACK:
            sent.append(deliver)
        return sent is not None

    def _clear_the_way(self, space: HeldSpace, subspace: str, packet: NafPacketOut) -> None:
        """Let this replica's pages remove the entities that the packet brings again (`naf_entities`)."""
        for network_id in self._creators.taken_over(space, subspace, packet):
            data = msgspec.Raw(msgspec.json.encode({"networkId": network_id}))
            removal = Outgoing("broadcast", NafPacketOut(packet.sender, "r", data))
            for listener in _listeners(space, subspace):
                if listener.sid != packet.sender and packet.to in (None, listener.sid):
                    Broadcast.to_one(listener, removal)

    def roster_changed(self, space: HeldSpace, subspace: str) -> None:
        """Tell the occupants, soon: many changes of a large room are told at once."""
        due = (space.key, subspace)
        if due in self._due:
            return
        self._due.add(due)
        wait = COALESCE_SECONDS if len(space.roster.of(subspace)) > LARGE_ROOM else 0.0
        asyncio.get_running_loop().call_later(wait, self._tell, space, subspace)

    def _tell(self, space: HeldSpace, subspace: str) -> None:
        self._due.discard((space.key, subspace))
        self._creators.forget(space, subspace, space.roster.of(subspace))
        listeners = _listeners(space, subspace)
        if not listeners:
            return
        packet = _occupants(space, subspace)
        for session in listeners:
            Broadcast.to_one(session, packet)


def _occupants(space: HeldSpace, subspace: str) -> Outgoing:
    occupants = {sid: _milliseconds(member) for sid, member in space.roster.of(subspace).items()}
    return Outgoing("occupantsChanged", NafOccupants(occupants))


def _listeners(space: HeldSpace, subspace: str) -> list[Session]:
    """This replica's members there who speak networked-aframe."""
    return [
        session
        for session in space.sessions.values()
        if session.place and session.place.speaks_naf and session.place.subspace == subspace
    ]


def _milliseconds(member: Member) -> int:
    return round(datetime.fromisoformat(member.joined_at).timestamp() * 1000)
