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
from libs.common.contracts.members import Member
from libs.common.contracts.presence import JoinSpace, NafConnected, NafOccupants, NafPacket, NafPacketOut, NafRoom
from libs.common.contracts.spaces import ResolveRoom
from libs.common.errors import FORBIDDEN, INVALID_INPUT, PresenceError
from libs.common.spaces import SpaceKey
from services.realtime.cluster.messages import FromMember
from services.realtime.membership.entering import Entering
from services.realtime.naf.entity_owners import EntityOwners
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, Place
from services.realtime.space.held_space import HeldSpace
from services.realtime.space.held_spaces import HeldSpaces
from services.realtime.space.peers import Peers
from services.realtime.transport.packets import EventPacket

LARGE_ROOM = 50  # members; above it occupants are told at most twice a second
COALESCE_SECONDS = 0.5
MOST_HELD_BACK = 1024  # packets for a socket that is joining


class NafAdapter:
    def __init__(self, bus: Bus, entering: Entering, peers: Peers, held_spaces: HeldSpaces) -> None:
        self._bus, self._entering, self._peers = bus, entering, peers
        self._due: set[tuple[SpaceKey, str]] = set()
        self._creators = EntityOwners()
        self._joining: dict[str, list[Callable[[], None]]] = {}  # what was sent to sockets that are not told yet
        held_spaces.roster_changed = self.roster_changed
        held_spaces.relayed = self._relayed

    async def join_room(self, client: Client, request: NafRoom) -> dict[str, Any]:
        """Enter; the ack is the snapshot, which the adapter does not ask for."""
        room = await self._bus.call(spaces.resolve_room, ResolveRoom(request.room), client.caller())
        sent = self._joining[client.sid] = []
        try:
            told = await self._entering.enter(client, JoinSpace(room.space_type, room.space_id, room.subspace))
            if client.place:
                self._welcome(client, client.place)
        finally:
            del self._joining[client.sid]
        for deliver in sent:
            deliver()
        return told

    def _welcome(self, client: Client, place: Place) -> None:
        """The occupants before anything that one of them sends: the adapter drops what comes from a stranger."""
        Broadcast.to_one(client, EventPacket("connectSuccess", NafConnected(_milliseconds(place.member))))
        place.speaks_naf = True
        space = self._peers.space(place)
        Broadcast.to_one(client, _occupants(space, place.subspace))
        self.roster_changed(space, place.subspace)

    async def broadcast(self, client: Client, packet: NafPacket) -> dict[str, Any]:
        if client.place is None:
            raise PresenceError(FORBIDDEN, "Join a room first.")
        told = NafPacketOut(client.sid, packet.type, packet.data)
        self._clear_the_way(self._peers.space(client.place), client.place.subspace, told)
        self._peers.to_others(client.place, "broadcast", told)
        return {}

    async def send(self, client: Client, packet: NafPacket) -> dict[str, Any]:
        """Raises `not_found` for an occupant who is not in the room."""
        if client.place is None:
            raise PresenceError(FORBIDDEN, "Join a room first.")
        if packet.to is None:
            raise PresenceError(INVALID_INPUT, "A send names its occupant in `to`.")
        told = NafPacketOut(client.sid, packet.type, packet.data, packet.to)
        if not self._is_held_back(packet.to, partial(self._send_late, client, client.place, told)):
            self._send(client.place, packet.to, told)
        return {}

    def _send(self, place: Place, to: str, packet: NafPacketOut) -> None:
        self._clear_the_way(self._peers.space(place), place.subspace, packet)
        self._peers.to_one(place, to, "send", packet)

    def _send_late(self, client: Client, place: Place, packet: NafPacketOut) -> None:
        if client.place is place and packet.to:
            with suppress(PresenceError):  # the other left meanwhile
                self._send(place, packet.to, packet)

    def _relayed(self, space: HeldSpace, item: FromMember) -> bool:
        """Whether what comes from another replica may be delivered now."""
        if item.event not in ("send", "broadcast"):
            return True
        if item.to and self._is_held_back(item.to, partial(self._deliver_late, space, item)):
            return False
        self._clear_the_way(space, item.subspace, msgspec.json.decode(item.payload, type=NafPacketOut))
        return True

    def _deliver_late(self, space: HeldSpace, item: FromMember) -> None:
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
            removal = EventPacket("broadcast", NafPacketOut(packet.sender, "r", data))
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
        for client in listeners:
            Broadcast.to_one(client, packet)


def _occupants(space: HeldSpace, subspace: str) -> EventPacket:
    occupants = {sid: _milliseconds(member) for sid, member in space.roster.of(subspace).items()}
    return EventPacket("occupantsChanged", NafOccupants(occupants))


def _listeners(space: HeldSpace, subspace: str) -> list[Client]:
    """This replica's members there who speak networked-aframe."""
    return [
        client
        for client in space.clients.values()
        if client.place and client.place.speaks_naf and client.place.subspace == subspace
    ]


def _milliseconds(member: Member) -> int:
    return round(datetime.fromisoformat(member.joined_at).timestamp() * 1000)
