"""Decides which packets go to which clients of a space."""

from collections.abc import Iterable
from typing import Any

from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Registry, Socket
from libs.common.spaces import SpaceKey
from services.realtime.rooms.client import Client, Place
from services.realtime.rooms.room import Room, write
from services.realtime.transport.packets import EventPacket


class Broadcast:
    """The rooms of this replica; a room is a space's subspace."""

    def __init__(self, registry: Registry) -> None:
        self._rooms: dict[SpaceKey, dict[str, Room]] = {}
        self._bindings = {
            event.name: [binding for binding in event.bindings if isinstance(binding, Socket)]
            for event in registry.events
        }

    def room(self, space: SpaceKey, subspace: str) -> Room | None:
        """Returns the room; None where this replica has nobody."""
        return self._rooms.get(space, {}).get(subspace)

    def send(
        self, space: SpaceKey, subspace: str, event: str, payload: Any, *, skip: str | None = None, lasts: bool = False
    ) -> None:
        """Sends an ephemeral event to everyone in a subspace."""
        room = self.room(space, subspace)
        if room:
            room.post(EventPacket(event, payload, lasts=lasts), skip)

    def event(self, space: SpaceKey, event: LoggedEvent, entering: Iterable[Client]) -> None:
        """Sends a durable event to everyone it concerns, but those whose snapshot already holds it.

        For clients that are `entering` it gathers, and comes after their snapshot.
        """
        rooms = [room for subspace, room in self._rooms.get(space, {}).items() if event.concerns(subspace)]
        for packet in self.rendered(event):
            for client in entering:
                if client.place and event.concerns(client.place.subspace):
                    client.place.gathered.append((event.seq, packet))
            for room in rooms:
                _to_room(room, event.seq, packet)

    def rendered(self, event: LoggedEvent) -> list[EventPacket]:
        """Returns the socket events that the registry binds to a logged event, each with its `seq`."""
        return [
            EventPacket(binding.event, {**_renamed(event.payload, binding), "seq": event.seq})
            for binding in self._bindings.get(event.name, ())
        ]

    def admit(self, client: Client, seq: int) -> None:
        """Sends a client that was entering what came after its snapshot of `seq`, then lets it hear the room."""
        gathered = client.arrive(seq)
        for packet in gathered:
            self.to_one(client, packet)
        if place := client.place:
            held, place.held = place.held, []
            for packet, sender in held:
                self.to_one(client, packet, sender)
            room = self._rooms.setdefault(place.space, {}).setdefault(place.subspace, Room())
            room.newest_snapshot = max(room.newest_snapshot, seq)
            room.add(client)

    def expel(self, client: Client, place: Place) -> None:
        """Takes a client that gave up its place out of the room, and ends a room that is empty."""
        rooms = self._rooms.get(place.space, {})
        room = rooms.get(place.subspace)
        if room is None:
            return
        room.remove(client)
        if not len(room):
            del rooms[place.subspace]
        if not rooms:
            del self._rooms[place.space]

    @staticmethod
    def to_one(client: Client, packet: EventPacket, sender: str | None = None) -> None:
        """Sends to one client, at once; `sender` is the socket that has it sent, if one has."""
        write(client, packet.frame(client.namespace), ((packet, sender),))


def _to_room(room: Room, seq: int, packet: EventPacket) -> None:
    if seq > room.newest_snapshot:  # nearly always
        room.post(packet)
        return
    room.flush()  # what was posted before comes first
    for client in room.clients:
        if client.place and client.place.after_seq < seq:
            Broadcast.to_one(client, packet)


def _renamed(payload: dict[str, Any], binding: Socket) -> dict[str, Any]:
    return {binding.rename.get(name, name): value for name, value in payload.items()}
