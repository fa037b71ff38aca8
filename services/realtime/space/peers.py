"""Sends ephemeral events of a member to the others, or to one of them: spawns, typing, WebRTC signalling.

A sender's events keep their order. Here they go straight to the room; to other replicas by the space's
channel, and only while somebody is there.
"""

from typing import Any

import msgspec

from libs.common.contracts.presence import EntityEventOut
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.roles import MODERATING
from services.realtime.cluster import messages
from services.realtime.cluster.publisher import Publisher
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, Place
from services.realtime.space.entities import REMOVE, SPAWN
from services.realtime.space.held_space import HeldSpace
from services.realtime.space.held_spaces import HeldSpaces
from services.realtime.transport.packets import EventPacket

_encode = msgspec.json.Encoder().encode


class Peers:
    def __init__(self, held_spaces: HeldSpaces, broadcast: Broadcast, publisher: Publisher, replica: str) -> None:
        self._held_spaces = held_spaces
        self._broadcast = broadcast
        self._publisher = publisher
        self._replica = replica

    def space(self, place: Place) -> HeldSpace:
        """Returns the held space of a member of this replica."""
        return self._held_spaces.by_key[place.space]

    def share_entity(self, client: Client, event: EntityEventOut) -> bool:
        """Relays a spawn or removal and keeps its effect. Returns False for any other event.

        Raises `invalid_input` or `conflict` for a spawn that cannot be kept, `forbidden` for a removal of another's.
        """
        if event.name not in (SPAWN, REMOVE):
            return False
        place = client.placed()
        entities, name = self.space(place).entities, self.check_entity(client, event)
        owner = entities.owner_of(name)
        entities.apply(place.subspace, event)
        if event.name == SPAWN:
            self._publisher.put_entity(place.space, name, messages.Entity(event.socket_id, place.subspace, event))
        elif owner:
            self._publisher.remove_entity(place.space, name, owner)
        self.to_others(place, "entity-event", event, always=True)
        return True

    def check_entity(self, client: Client, event: EntityEventOut) -> str:
        """Returns the name of the entity that a spawn or removal is about. Raises as `share_entity` does."""
        place = client.placed()
        space = self.space(place)
        others = space.clients.values()
        return space.entities.check(
            place.subspace,
            event,
            moderates=place.authorization.role in MODERATING,
            of_account=lambda: [other.sid for other in others if client.person and other.person == client.person],
            of_address=lambda: [other.sid for other in others if other.home == client.home],
        )

    def to_others(self, place: Place, event: str, payload: Any, *, always: bool = False) -> None:
        """Sends to everyone else in the sender's subspace; with `always` also where no other replica is known to be."""
        sender = place.member.socket_id
        self._broadcast.send(place.space, place.subspace, event, payload, skip=sender)
        space = self._held_spaces.by_key.get(place.space)
        if always or (space and space.is_shared):
            self._publish(place, event, payload, None)

    def to_one(self, place: Place, target: str, event: str, payload: Any) -> None:
        """Sends to one socket in the sender's subspace. Raises `not_found` for any other."""
        space = self._held_spaces.by_key.get(place.space)
        if space is None or not space.has_member(target, place.subspace):
            raise PresenceError(NOT_FOUND, "There is no such socket in this space.")
        client = space.clients.get(target)
        if client:
            Broadcast.to_one(client, EventPacket(event, payload), place.member.socket_id)
        else:
            self._publish(place, event, payload, target)

    def blame(self, client: Client, sender: str) -> None:
        """Has the socket that made most of what this client leaves unread pay for it, wherever it is."""
        space = self._held_spaces.by_key.get(client.place.space) if client.place else None
        if space and not space.blame(sender):
            self._publisher.put(space.key, messages.Blamed(sender))

    def _publish(self, place: Place, event: str, payload: Any, to: str | None) -> None:
        raw = msgspec.Raw(_encode(payload))
        message = messages.FromMember(self._replica, place.subspace, event, raw, place.member.socket_id, to)
        self._publisher.put(place.space, message)
