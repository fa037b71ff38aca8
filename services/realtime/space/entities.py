"""Keeps entities that were spawned and not removed: late joiners find them in their snapshot.

Each replica that holds a space keeps them by id, from the same ordered peers; the Redis hash is for the
replica that comes later. An entity goes with its owner.
"""

from collections.abc import Container

import msgspec

from libs.common.contracts.presence import EntityEventOut
from libs.common.errors import CONFLICT, INVALID_INPUT, PresenceError
from services.realtime.cluster.messages import Entity

SPAWN, REMOVE = "spawn", "remove"
MAX_OWNED = 64  # entities of one socket
MAX_DATA = 4096  # bytes of JSON a spawn may carry into every later snapshot


class _Named(msgspec.Struct):
    id: str


class SpaceEntities:
    """The entities of one space, all subspaces; by subspace and id, since each subspace is a scene of its own."""

    def __init__(self) -> None:
        self._by_name: dict[str, Entity] = {}

    def load(self, entities: dict[str, Entity]) -> None:
        self._by_name = entities

    def of(self, owners: Container[str]) -> dict[str, Entity]:
        """Returns the entities that one of these sockets spawned."""
        return {name: entity for name, entity in self._by_name.items() if entity.owner in owners}

    def reload(self, stored: dict[str, Entity], here: Container[str]) -> None:
        """As `stored`; but of the sockets `here` this replica knows better. What was known keeps its place in the order
        of the spawns, which Redis does not keep."""
        others = {name: entity for name, entity in stored.items() if entity.owner not in here}
        entities = others | self.of(here)
        self._by_name = {name: entities[name] for name in self._by_name if name in entities} | entities

    def check(self, subspace: str, event: EntityEventOut) -> str:
        """Returns the name under which a spawned or removed entity is kept. Raises `invalid_input` or `conflict`."""
        try:
            name = _name(subspace, event)
        except msgspec.MsgspecError as error:
            raise PresenceError(INVALID_INPUT, f"A {event.name} names its entity in data.id.") from error
        known = self._by_name.get(name)
        if known and known.owner != event.socket_id and event.name == SPAWN:
            raise PresenceError(CONFLICT, "Someone else has spawned an entity of that id.")
        if event.name == SPAWN and known is None and self._owned(event.socket_id) >= MAX_OWNED:
            raise PresenceError(CONFLICT, f"One may have at most {MAX_OWNED} entities; remove one first.")
        if len(bytes(event.data)) > MAX_DATA:
            raise PresenceError(INVALID_INPUT, f"A spawned entity's data is at most {MAX_DATA} bytes.")
        return name

    def apply(self, subspace: str, event: EntityEventOut) -> None:
        """Applies a spawn or removal that was checked where it was sent."""
        name = _name(subspace, event)
        if event.name == SPAWN:
            self._by_name[name] = Entity(event.socket_id, subspace, event)
        else:
            self._by_name.pop(name, None)

    def drop_of(self, owner: str) -> None:
        self._by_name = {name: entity for name, entity in self._by_name.items() if entity.owner != owner}

    def shown(self, subspace: str) -> list[EntityEventOut]:
        """Returns the spawns that a snapshot of the subspace holds."""
        return [entity.event for entity in self._by_name.values() if entity.subspace == subspace]

    def _owned(self, owner: str) -> int:
        return sum(entity.owner == owner for entity in self._by_name.values())


def _name(subspace: str, event: EntityEventOut) -> str:
    return f"{subspace}:{msgspec.json.decode(event.data, type=_Named).id}"
