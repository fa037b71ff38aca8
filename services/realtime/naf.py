"""networked-aframe's `socketio` adapter, unmodified: its rooms are our spaces, its occupants our members.

`joinRoom` → `connectSuccess`, then `occupantsChanged` to all who speak it; `send` and `broadcast` are
relayed with `from` stamped here, in order and never merged, so `isFirstSync` and `r` packets arrive.
"""

import asyncio
from datetime import datetime
from typing import Any

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
from services.realtime.relay import Relays
from services.realtime.sessions import Session
from services.realtime.wire import Member

LARGE_ROOM = 50  # members; above it occupants are told at most twice a second
COALESCE_SECONDS = 0.5


class Naf:
    def __init__(self, bus: Bus, entering: Entering, relays: Relays, fanout: Fanout) -> None:
        self._bus, self._entering, self._relays = bus, entering, relays
        self._due: set[tuple[SpaceKey, str]] = set()
        fanout.roster_changed = self.roster_changed

    async def join_room(self, session: Session, request: NafRoom) -> dict[str, Any]:
        """Enter; the ack is the snapshot, which the adapter does not ask for."""
        room = await self._bus.call(spaces.resolve_room, ResolveRoom(request.room), session.caller())
        told = await self._entering.enter(session, JoinSpace(room.space_type, room.space_id, room.subspace))
        if session.place:
            connected = NafConnected(_milliseconds(session.place.member))
            Broadcast.to_one(session, Outgoing("connectSuccess", connected))
            session.place.speaks_naf = True
            self.roster_changed(self._relays.space(session.place), session.place.subspace)
        return told

    async def broadcast(self, session: Session, packet: NafPacket) -> dict[str, Any]:
        if session.place is None:
            raise PresenceError(FORBIDDEN, "Join a room first.")
        told = NafPacketOut(session.sid, packet.type, packet.data)
        self._relays.to_others(session.place, "broadcast", told)
        return {}

    async def send(self, session: Session, packet: NafPacket) -> dict[str, Any]:
        """Raises `not_found` for an occupant who is not in the room."""
        if session.place is None:
            raise PresenceError(FORBIDDEN, "Join a room first.")
        if packet.to is None:
            raise PresenceError(INVALID_INPUT, "A send names its occupant in `to`.")
        told = NafPacketOut(session.sid, packet.type, packet.data, packet.to)
        self._relays.to_one(session.place, packet.to, "send", told)
        return {}

    def roster_changed(self, space: HeldSpace, subspace: str) -> None:
        """Tell the occupants, soon: many changes of a large room are told at once."""
        due = (space.key, subspace)
        if due in self._due or not _listeners(space, subspace):
            return
        self._due.add(due)
        wait = COALESCE_SECONDS if len(space.members_of(subspace)) > LARGE_ROOM else 0.0
        asyncio.get_running_loop().call_later(wait, self._tell, space, subspace)

    def _tell(self, space: HeldSpace, subspace: str) -> None:
        self._due.discard((space.key, subspace))
        occupants = {member.socket_id: _milliseconds(member) for member in space.members_of(subspace)}
        packet = Outgoing("occupantsChanged", NafOccupants(occupants))
        for session in _listeners(space, subspace):
            Broadcast.to_one(session, packet)


def _listeners(space: HeldSpace, subspace: str) -> list[Session]:
    """This replica's members there who speak networked-aframe."""
    return [
        session
        for session in space.sessions.values()
        if session.place and session.place.speaks_naf and session.place.subspace == subspace
    ]


def _milliseconds(member: Member) -> int:
    return round(datetime.fromisoformat(member.joined_at).timestamp() * 1000)
