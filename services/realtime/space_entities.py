"""Entities that were spawned and not removed: late joiners find them in their snapshot.

Each replica that holds a space keeps them by id, from the same ordered relays; the Redis hash is for the
replica that comes later. An entity goes with its owner.
"""

import msgspec

from libs.common.contracts.presence import EntityEventOut
from libs.common.errors import CONFLICT, INVALID_INPUT, PresenceError
from services.realtime.wire import Entity

SPAWN, REMOVE = "spawn", "remove"
MAX_OWNED = 64  # entities of one socket
MAX_DATA = 4096  # bytes of JSON a spawn may carry into every later snapshot


class _Named(msgspec.Struct):
    id: str


class SpaceEntities:
    """The entities of one space, all subspaces."""

    def __init__(self) -> None:
        self._by_id: dict[str, Entity] = {}

    def load(self, entities: dict[str, Entity]) -> None:
        self._by_id = entities

    def check(self, subspace: str, event: EntityEventOut) -> str:
        """The id that a spawn or removal names. Raises `invalid_input` or `conflict`."""
        try:
            entity_id = msgspec.json.decode(event.data, type=_Named).id
        except msgspec.MsgspecError as error:
            raise PresenceError(INVALID_INPUT, f"A {event.name} names its entity in data.id.") from error
        known = self._by_id.get(entity_id)
        if known and (known.owner != event.socket_id or known.subspace != subspace) and event.name == SPAWN:
            raise PresenceError(CONFLICT, "Someone else has spawned an entity of that id.")
        if event.name == SPAWN and known is None and self._owned(event.socket_id) >= MAX_OWNED:
            raise PresenceError(CONFLICT, f"One may have at most {MAX_OWNED} entities; remove one first.")
        if len(bytes(event.data)) > MAX_DATA:
            raise PresenceError(INVALID_INPUT, f"A spawned entity's data is at most {MAX_DATA} bytes.")
        return entity_id

    def apply(self, subspace: str, event: EntityEventOut) -> None:
        """A spawn or removal that was checked where it was sent."""
        entity_id = msgspec.json.decode(event.data, type=_Named).id
        if event.name == SPAWN:
            self._by_id[entity_id] = Entity(event.socket_id, subspace, event)
        else:
            self._by_id.pop(entity_id, None)

    def drop_of(self, owner: str) -> None:
        self._by_id = {name: entity for name, entity in self._by_id.items() if entity.owner != owner}

    def shown(self, subspace: str) -> list[EntityEventOut]:
        """What a snapshot of the subspace holds."""
        return [entity.event for entity in self._by_id.values() if entity.subspace == subspace]

    def _owned(self, owner: str) -> int:
        return sum(entity.owner == owner for entity in self._by_id.values())
