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
from libs.common.contracts.moderation import FreeChannel
from libs.common.contracts.presence import JoinSpace, NafConnected, NafOccupants, NafPacket, NafPacketOut, NafRoom
from libs.common.contracts.spaces import ResolveRoom
from libs.common.errors import INVALID_INPUT, PresenceError
from libs.common.spaces import SpaceKey
from services.realtime.cluster.messages import FromMember
from services.realtime.membership.entering import Entering
from services.realtime.naf.entity_owners import EntityOwners
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, Place
from services.realtime.rooms.speech import require_open, require_words
from services.realtime.space.held_space import HeldSpace, SpaceListener
from services.realtime.space.peers import Peers
from services.realtime.transport.packets import EventPacket

LARGE_ROOM = 50  # members; above it occupants are told at most twice a second
COALESCE_SECONDS = 0.5
ENTITY_SYNC = {"u", "um", "r"}  # networked-aframe's own types: updates, many of them, removal
MOST_HELD_BACK = 1024  # packets for a socket that is joining


class NafAdapter(SpaceListener):
    """Joins rooms, relays packets, and tells the occupants of changes among them."""

    def __init__(self, bus: Bus, entering: Entering, peers: Peers) -> None:
        self._bus = bus
        self._entering = entering
        self._peers = peers
        self._due: set[tuple[SpaceKey, str]] = set()
        self._owners = EntityOwners()
        self._joining: dict[str, list[Callable[[], None]]] = {}  # by socket that is joining: what was sent to it

    async def join_room(self, client: Client, request: NafRoom) -> dict[str, Any]:
        """Enters, and returns the ack, which the adapter does not ask for."""
        room = await self._bus.call(spaces.resolve_room, ResolveRoom(request.room), client.caller())
        sent = self._joining[client.sid] = []
        try:
            ack = await self._entering.enter(client, JoinSpace(room.space_type, room.space_id, room.subspace))
            if client.place:
                self._welcome(client, client.place)
        finally:
            del self._joining[client.sid]
        for deliver in sent:
            deliver()
        return ack

    def _welcome(self, client: Client, place: Place) -> None:
        """Tells the occupants before anything that one of them sends: the adapter drops packets of strangers."""
        Broadcast.to_one(client, EventPacket("connectSuccess", NafConnected(_milliseconds(place.member))))
        place.speaks_naf = True
        space = self._peers.space(place)
        Broadcast.to_one(client, _occupants(space, place.subspace))
        self.on_roster_changed(space, place.subspace)

    async def broadcast(self, client: Client, packet: NafPacket) -> dict[str, Any]:
        """Relays a packet to everybody else in the room. Raises what `_placed` does."""
        place = _placed(client, packet)
        stamped = NafPacketOut(client.sid, packet.type, packet.data)
        self._clear_the_way(self._peers.space(place), place.subspace, stamped)
        self._peers.to_others(place, "broadcast", stamped)
        return {}

    async def send(self, client: Client, packet: NafPacket) -> dict[str, Any]:
        """Relays a packet to one occupant. Raises `not_found` for one who is not there, and what `_placed` does."""
        place = _placed(client, packet)
        if packet.to is None:
            raise PresenceError(INVALID_INPUT, "A send names its occupant in `to`.")
        stamped = NafPacketOut(client.sid, packet.type, packet.data, packet.to)
        if not self._is_held_back(packet.to, partial(self._send_late, client, place, stamped)):
            self._send(place, packet.to, stamped)
        return {}

    def _send(self, place: Place, to: str, packet: NafPacketOut) -> None:
        self._clear_the_way(self._peers.space(place), place.subspace, packet)
        self._peers.to_one(place, to, "send", packet)

    def _send_late(self, client: Client, place: Place, packet: NafPacketOut) -> None:
        if client.place is place and packet.to:
            with suppress(PresenceError):  # the other left meanwhile
                self._send(place, packet.to, packet)

    def may_deliver(self, space: HeldSpace, message: FromMember) -> bool:
        """Holds back a packet for a client that is joining, and makes room for the entities that one brings again."""
        if message.event not in ("send", "broadcast"):
            return True
        if message.to and self._is_held_back(message.to, partial(self._deliver_late, space, message)):
            return False
        self._clear_the_way(space, message.subspace, msgspec.json.decode(message.payload, type=NafPacketOut))
        return True

    def _deliver_late(self, space: HeldSpace, message: FromMember) -> None:
        if self.may_deliver(space, message):
            space.put(message)

    def _is_held_back(self, target: str, deliver: Callable[[], None]) -> bool:
        """Keeps a packet for a target that is just joining, until it knows the occupants; returns whether it did."""
        sent = self._joining.get(target)
        if sent is not None and len(sent) < MOST_HELD_BACK:
            sent.append(deliver)
        return sent is not None

    def _clear_the_way(self, space: HeldSpace, subspace: str, packet: NafPacketOut) -> None:
        """Has this replica's pages remove the entities that the packet brings again (`entity_owners.py`)."""
        for network_id in self._owners.taken_over(space, subspace, packet):
            data = msgspec.Raw(msgspec.json.encode({"networkId": network_id}))
            removal = EventPacket("broadcast", NafPacketOut(packet.sender, "r", data))
            for listener in _listeners(space, subspace):
                if listener.sid != packet.sender and packet.to in (None, listener.sid):
                    Broadcast.to_one(listener, removal)

    def on_roster_changed(self, space: HeldSpace, subspace: str) -> None:
        """Tells the occupants soon: many changes of a large room are told at once."""
        due = (space.key, subspace)
        if due in self._due:
            return
        self._due.add(due)
        wait = COALESCE_SECONDS if len(space.roster.of(subspace)) > LARGE_ROOM else 0.0
        asyncio.get_running_loop().call_later(wait, self._tell, space, subspace)

    def _tell(self, space: HeldSpace, subspace: str) -> None:
        self._due.discard((space.key, subspace))
        self._owners.forget(space, subspace, space.roster.of(subspace))
        listeners = _listeners(space, subspace)
        if not listeners:
            return
        packet = _occupants(space, subspace)
        for client in listeners:
            Broadcast.to_one(client, packet)


def _placed(client: Client, packet: NafPacket) -> Place:
    """Returns the place of who may send this packet.

    Raises `forbidden` outside of a room or where the channel is closed, `muted` for a muted member's packets but those
    of entity sync.
    """
    place = client.placed()
    require_open(place, FreeChannel.NAF)
    if packet.type not in ENTITY_SYNC:
        require_words(place)
    return place


def _occupants(space: HeldSpace, subspace: str) -> EventPacket:
    occupants = {sid: _milliseconds(member) for sid, member in space.roster.of(subspace).items()}
    return EventPacket("occupantsChanged", NafOccupants(occupants))


def _listeners(space: HeldSpace, subspace: str) -> list[Client]:
    """Returns this replica's members of the subspace who speak networked-aframe."""
    return [
        client
        for client in space.clients.values()
        if client.place and client.place.speaks_naf and client.place.subspace == subspace
    ]


def _milliseconds(member: Member) -> int:
    return round(datetime.fromisoformat(member.joined_at).timestamp() * 1000)
