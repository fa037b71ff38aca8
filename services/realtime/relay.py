"""Ephemeral events from one member to the others, or to one: spawns, typing, WebRTC signalling.

A sender's events keep their order. Here they go straight to the room; to other replicas by the space's
channel, and only while somebody is there.
"""

from typing import Any

import msgspec

from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.spaces import SpaceKey
from services.realtime import wire
from services.realtime.broadcast import Broadcast
from services.realtime.fanout import Fanout
from services.realtime.frames import Outgoing
from services.realtime.held_space import HeldSpace
from services.realtime.publisher import Publisher
from services.realtime.sessions import Place

_encode = msgspec.json.Encoder().encode


class Relays:
    def __init__(self, fanout: Fanout, broadcast: Broadcast, publisher: Publisher, replica: str) -> None:
        self._fanout, self._broadcast, self._publisher, self._replica = fanout, broadcast, publisher, replica

    def space(self, place: Place) -> HeldSpace:
        """The held space of a member of this replica."""
        return self._fanout.spaces[place.space]

    def keep_entity(self, space: SpaceKey, name: str, entity: wire.Entity | None) -> None:
        """For replicas that come later; None removes."""
        self._publisher.put_entity(space, name, entity)

    def to_others(self, place: Place, event: str, payload: Any, *, always: bool = False) -> None:
        """To everyone else in the sender's subspace; `always` also where no other replica is known to be."""
        sender = place.member.socket_id
        self._broadcast.send(place.space, place.subspace, event, payload, skip=sender)
        space = self._fanout.spaces.get(place.space)
        if always or (space and space.is_shared):
            self._publish(place, event, payload, None)

    def to_one(self, place: Place, target: str, event: str, payload: Any) -> None:
        """To one socket in the sender's subspace. Raises `not_found` for any other."""
        space = self._fanout.spaces.get(place.space)
        if space is None or not space.has_member(target, place.subspace):
            raise PresenceError(NOT_FOUND, "There is no such socket in this space.")
        session = space.sessions.get(target)
        if session:
            Broadcast.to_one(session, Outgoing(event, payload))
        else:
            self._publish(place, event, payload, target)

    def _publish(self, place: Place, event: str, payload: Any, to: str | None) -> None:
        raw = msgspec.Raw(_encode(payload))
        message = wire.Relay(self._replica, place.subspace, event, raw, place.member.socket_id, to)
        self._publisher.put(place.space, message)
