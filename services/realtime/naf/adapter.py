"""networked-aframe's `socketio` adapter, unmodified: its rooms are our spaces, its occupants our members.

`joinRoom` → `connectSuccess`, then `occupantsChanged` to all who speak it; `send` and `broadcast` are
relayed with `from` stamped here, in order and never merged. `isFirstSync` and `r` packets arrive, also at one who is
still joining or reads slowly, and the latter also after Redis was away.
"""

import asyncio
from datetime import datetime
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
from services.realtime.cluster.publisher import Publisher
from services.realtime.membership.entering import Entering
from services.realtime.naf.entity_owners import FIRST_SYNC, EntityOwners
from services.realtime.naf.removals import REMOVAL, Removals
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, Place
from services.realtime.rooms.speech import require_open, require_words
from services.realtime.space.held_space import HeldSpace
from services.realtime.space.parts import SpaceListener
from services.realtime.space.peers import Peers
from services.realtime.transport.packets import EventPacket

LARGE_ROOM = 50  # members; above it occupants are told at most twice a second
COALESCE_SECONDS = 0.5
ENTITY_SYNC = {"u", "um", REMOVAL}  # networked-aframe's own types: updates, many of them, removal


class NafAdapter(SpaceListener):
    """Joins rooms, relays packets, and tells the occupants of changes among them."""

    def __init__(self, bus: Bus, entering: Entering, peers: Peers, publisher: Publisher, replica: str) -> None:
        self._bus = bus
        self._entering = entering
        self._peers = peers
        self._due: set[tuple[SpaceKey, str]] = set()
        self._owners = EntityOwners()
        self._removals = Removals(publisher, replica)
        self._joining: set[str] = set()  # sockets

    async def join_room(self, client: Client, request: NafRoom) -> dict[str, Any]:
        """Enters, and returns the ack, which the adapter does not ask for."""
        room = await self._bus.call(spaces.resolve_room, ResolveRoom(request.room), client.caller())
        self._joining.add(client.sid)
        try:
            return await self._entering.enter(client, JoinSpace(room.space_type, room.space_id, room.subspace))
        finally:
            self._joining.discard(client.sid)

    def on_welcome(self, space: HeldSpace, client: Client) -> None:
        """Tells a client the occupants before anything that one of them sends: the adapter drops packets of strangers.

        What they have sent since it was named to them comes next.
        """
        if client.sid in self._joining:
            place = client.placed()
            place.speaks_naf = True
            Broadcast.to_one(client, EventPacket("connectSuccess", NafConnected(_milliseconds(place.member))))
            Broadcast.to_one(client, _occupants(space, place.subspace))
            self.on_roster_changed(space, place.subspace)

    async def broadcast(self, client: Client, packet: NafPacket) -> dict[str, Any]:
        """Relays a packet to everybody else in the room. Raises what `_placed` does."""
        place = _placed(client, packet)
        stamped = NafPacketOut(client.sid, packet.type, packet.data)
        space = self._peers.space(place)
        self._clear_the_way(space, place.subspace, stamped)
        if packet.type == REMOVAL:
            self._removals.note(space, place.subspace, stamped)
        self._peers.to_others(place, "broadcast", stamped, lasts=_lasts(stamped))
        return {}

    async def send(self, client: Client, packet: NafPacket) -> dict[str, Any]:
        """Relays a packet to one occupant. Raises `not_found` for one who is not there, and what `_placed` does."""
        place = _placed(client, packet)
        if packet.to is None:
            raise PresenceError(INVALID_INPUT, "A send names its occupant in `to`.")
        stamped = NafPacketOut(client.sid, packet.type, packet.data, packet.to)
        self._clear_the_way(self._peers.space(place), place.subspace, stamped)
        self._peers.to_one(place, packet.to, "send", stamped, lasts=_lasts(stamped))
        return {}

    def on_message(self, space: HeldSpace, message: FromMember) -> None:
        """Makes room for the entities that another replica's page brings again."""
        if message.event in ("send", "broadcast"):
            self._clear_the_way(space, message.subspace, msgspec.json.decode(message.payload, type=NafPacketOut))

    def on_missed(self, space: HeldSpace) -> None:
        """Says again what was removed."""
        self._removals.repeat(space)

    def _clear_the_way(self, space: HeldSpace, subspace: str, packet: NafPacketOut) -> None:
        """Has this replica's pages remove the entities that the packet brings again (`entity_owners.py`)."""
        self._removals.forget(space, subspace, packet)
        for network_id in self._owners.taken_over(space, subspace, packet):
            data = msgspec.Raw(msgspec.json.encode({"networkId": network_id}))
            removal = EventPacket("broadcast", NafPacketOut(packet.sender, "r", data), lasts=True)
            for listener in self._listeners(space, subspace):
                if listener.sid != packet.sender and packet.to in (None, listener.sid):
                    space.tell(listener, removal)

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
        listeners = [client for client in self._listeners(space, subspace) if client.is_inside]
        if not listeners:
            return
        packet = _occupants(space, subspace)
        for client in listeners:
            Broadcast.to_one(client, packet)

    def _listeners(self, space: HeldSpace, subspace: str) -> list[Client]:
        """Returns this replica's members of the subspace who speak networked-aframe, or will when they are inside."""
        return [
            client
            for client in space.clients.values()
            if client.place
            and client.place.subspace == subspace
            and (client.place.speaks_naf or client.sid in self._joining)
        ]


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


def _lasts(packet: NafPacketOut) -> bool:
    """Returns whether a packet makes or removes an entity: nobody is spared it."""
    return packet.type == REMOVAL or (packet.type in ENTITY_SYNC and FIRST_SYNC in bytes(packet.data))


def _occupants(space: HeldSpace, subspace: str) -> EventPacket:
    occupants = {sid: _milliseconds(member) for sid, member in space.roster.of(subspace).items()}
    return EventPacket("occupantsChanged", NafOccupants(occupants))


def _milliseconds(member: Member) -> int:
    return round(datetime.fromisoformat(member.joined_at).timestamp() * 1000)
