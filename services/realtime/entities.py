"""Keeping what members of this replica spawn, and telling the others."""

from libs.common.contracts.presence import EntityEventOut
from services.realtime.relay import Relays
from services.realtime.sessions import Place
from services.realtime.space_entities import REMOVE, SPAWN
from services.realtime.wire import Entity


class Entities:
    def __init__(self, relays: Relays) -> None:
        self._relays = relays

    def keep(self, place: Place, event: EntityEventOut) -> bool:
        """Relay a spawn or removal and keep its effect; False for any other event."""
        if event.name not in (SPAWN, REMOVE):
            return False
        space = self._relays.space(place)
        name = space.entities.check(place.subspace, event)
        space.entities.apply(place.subspace, event)
        entity = Entity(place.member.socket_id, place.subspace, event) if event.name == SPAWN else None
        self._relays.keep_entity(place.space, name, entity)
        self._relays.to_others(place, "entity-event", event, always=True)
        return True
