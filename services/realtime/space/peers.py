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
from services.realtime.rooms.client import Client, Place
from services.realtime.space.entities import REMOVE, SPAWN, Sender
from services.realtime.space.held_space import HeldSpace
from services.realtime.space.held_spaces import HeldSpaces
from services.realtime.transport.packets import EventPacket

_encode = msgspec.json.Encoder().encode


class Peers:
    def __init__(self, held_spaces: HeldSpaces, publisher: Publisher, replica: str) -> None:
        self._held_spaces = held_spaces
        self._publisher = publisher
        self._replica = replica

    def space(self, place: Place) -> HeldSpace:
        """Returns the held space of a member of this replica."""
        return self._held_spaces.by_key[place.space]

    def share_entity(self, client: Client, event: EntityEventOut) -> None:
        """Relays an event, and keeps what it makes of an entity. Raises what `check_entity` does."""
        place = client.placed()
        name = self.check_entity(client, event)
        if name is None:
            self.to_others(place, "entity-event", event, lasts=event.name in (SPAWN, REMOVE))
            return
        space = self.space(place)
        known = space.entities.get(name)
        owner = known.owner if known else place.member.owner
        stamp = space.entities.new_stamp(name)
        space.entity_sync.change(place.subspace, event, owner, stamp)
        if entity := space.entities.get(name):
            self._publisher.put_entity(place.space, name, entity)
        elif known:
            self._publisher.remove_entity(place.space, name, known, stamp)
        self._tell_others(place, "entity-event", event, always=True, lasts=True, owner=owner, stamp=stamp)

    def check_entity(self, client: Client, event: EntityEventOut) -> str | None:
        """Returns the name of the entity that an event changes; None for an event that changes none.

        Raises `invalid_input` or `conflict` for what cannot be kept, `forbidden` for a removal of another's.
        """
        place = client.placed()
        space = self.space(place)

        def at_address() -> list[str]:
            homes = (other.place for other in space.clients.values() if other.home == client.home)
            return [placed.member.owner for placed in homes if placed]

        moderates = place.authorization.role in MODERATING
        return space.entities.check(place.subspace, event, Sender(place.member.owner, at_address, moderates))

    def to_others(self, place: Place, event: str, payload: Any, *, always: bool = False, lasts: bool = False) -> None:
        """Sends to everyone else in the sender's subspace; with `always` also where no other replica is known to be.

        `lasts` is told in `EventPacket`.
        """
        self._tell_others(place, event, payload, always=always, lasts=lasts)

    def _tell_others(
        self,
        place: Place,
        event: str,
        payload: Any,
        *,
        always: bool,
        lasts: bool,
        owner: str = "",
        stamp: int = 0,
    ) -> None:
        space = self._held_spaces.by_key.get(place.space)
        if space is None:
            return
        packet = EventPacket(event, payload, lasts=lasts)
        space.relay(place.subspace, packet, place.member.socket_id, is_kept=bool(stamp))
        if always or space.is_shared:
            message = self._message(place, event, payload, None, lasts=lasts)
            message.owner, message.stamp = owner, stamp
            self._publisher.put(place.space, message)

    def to_one(self, place: Place, target: str, event: str, payload: Any, *, lasts: bool = False) -> None:
        """Sends to one socket in the sender's subspace. Raises `not_found` for any other."""
        space = self._held_spaces.by_key.get(place.space)
        if space is None or not space.has_member(target, place.subspace):
            raise PresenceError(NOT_FOUND, "There is no such socket in this space.")
        client = space.clients.get(target)
        if client:
            space.tell(client, EventPacket(event, payload, lasts=lasts), place.member.socket_id)
        else:
            self._publisher.put(place.space, self._message(place, event, payload, target, lasts=lasts))

    def blame(self, client: Client, sender: str) -> None:
        """Has the socket that made most of what this client leaves unread pay for it, wherever it is."""
        space = self._held_spaces.by_key.get(client.place.space) if client.place else None
        if space and not space.blame(sender):
            self._publisher.put(space.key, messages.Blamed(sender))

    def _message(self, place: Place, event: str, payload: Any, to: str | None, *, lasts: bool) -> messages.FromMember:
        raw = msgspec.Raw(_encode(payload))
        return messages.FromMember(self._replica, place.subspace, event, raw, place.member.socket_id, to, lasts=lasts)
