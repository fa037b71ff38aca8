"""Keeps entities that were spawned and not removed: late joiners find them in their snapshot.

Each replica that holds a space keeps them by id, from the same ordered messages; the Redis hash is for the replica that
comes later. An entity goes with its owner. Everything kept is in every later snapshot, so it is bounded: by socket,
account, address and space.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping

import msgspec

from libs.common.contracts.presence import EntityEventOut
from libs.common.errors import CONFLICT, FORBIDDEN, INVALID_INPUT, PresenceError
from services.realtime.cluster.messages import Entity

SPAWN, REMOVE = "spawn", "remove"
MAX_DATA = 4096  # bytes of JSON a spawn may carry into every later snapshot
# Entities, and bytes of their data, of one socket; of all sockets of an account and of an address in the space on one
# replica; of the space with all its subspaces. The last is what a newcomer has to take, and no single address fills it.
MAX_OWNED, MAX_BYTES_OWNED = 64, 64 * 1024
MAX_OF_ACCOUNT, MAX_BYTES_OF_ACCOUNT = 128, 128 * 1024
MAX_OF_ADDRESS, MAX_BYTES_OF_ADDRESS = 256, 256 * 1024
MAX_IN_SPACE, MAX_BYTES_IN_SPACE = 2000, 1024 * 1024


type Sockets = Callable[[], Iterable[str]]


class _Named(msgspec.Struct):
    id: str


class SpaceEntities:
    """The entities of one space, all subspaces; by subspace and id, since each subspace is a scene of its own."""

    def __init__(self) -> None:
        self._by_name: dict[str, Entity] = {}
        self._names_of: dict[str, set[str]] = defaultdict(set)  # by owner
        self._bytes = 0

    def load(self, entities: Mapping[str, Entity]) -> None:
        """Replaces everything."""
        self._by_name, self._bytes = {}, 0
        self._names_of.clear()
        for name, entity in entities.items():
            self._put(name, entity)

    def of(self, owners: Iterable[str]) -> dict[str, Entity]:
        """Returns the entities that these sockets spawned."""
        return {name: self._by_name[name] for owner in owners for name in self._names_of.get(owner, ())}

    def reload(self, stored: Mapping[str, Entity], here: Container[str]) -> None:
        """Takes `stored`, but of the sockets `here` what this replica knows.

        A known entity keeps its place in the order of the spawns, which Redis does not keep.
        """
        ours = {name: entity for name, entity in self._by_name.items() if entity.owner in here}
        entities = {name: entity for name, entity in stored.items() if entity.owner not in here} | ours
        self.load({name: entities[name] for name in self._by_name if name in entities} | entities)

    def check(
        self, subspace: str, event: EntityEventOut, *, moderates: bool, of_account: Sockets, of_address: Sockets
    ) -> str:
        """Returns the name under which a spawned or removed entity is kept.

        `of_account` and `of_address` give the sockets that share the sender's account and address. Raises
        `invalid_input`, `conflict` where a bound is reached or the id is taken, and `forbidden` for a removal by
        neither its owner nor one who moderates. A space that is full is not full for those who moderate it.
        """
        try:
            name = _name(subspace, event)
        except msgspec.MsgspecError as error:
            raise PresenceError(INVALID_INPUT, f"A {event.name} names its entity in data.id.") from error
        known = self._by_name.get(name)
        is_others = known is not None and known.owner != event.socket_id
        if event.name == REMOVE:
            if is_others and not moderates:
                raise PresenceError(FORBIDDEN, "An entity is removed by its owner, or by a moderator.")
        elif is_others:
            raise PresenceError(CONFLICT, "Someone else has spawned an entity of that id.")
        elif (size := len(bytes(event.data))) > MAX_DATA:
            raise PresenceError(INVALID_INPUT, f"A spawned entity's data is at most {MAX_DATA} bytes.")
        elif size > _size(known) or known is None:
            more = 0 if known else 1, size - _size(known)
            if not moderates:
                _require("A space has", len(self._by_name), self._bytes, more, MAX_IN_SPACE, MAX_BYTES_IN_SPACE)
            self._require_own([event.socket_id], more, MAX_OWNED, MAX_BYTES_OWNED)
            self._require_own(of_account(), more, MAX_OF_ACCOUNT, MAX_BYTES_OF_ACCOUNT)
            self._require_own(of_address(), more, MAX_OF_ADDRESS, MAX_BYTES_OF_ADDRESS)
        return name

    def _require_own(self, owners: Iterable[str], more: tuple[int, int], most: int, most_bytes: int) -> None:
        names = [name for owner in owners for name in self._names_of.get(owner, ())]
        size = sum(_size(self._by_name[name]) for name in names)
        _require("One may have", len(names), size, more, most, most_bytes)

    def owner_of(self, name: str) -> str | None:
        """Returns the socket that spawned an entity; None where none of that name is kept."""
        entity = self._by_name.get(name)
        return entity.owner if entity else None

    def apply(self, subspace: str, event: EntityEventOut) -> None:
        """Applies a spawn or removal that was checked where it was sent."""
        name = _name(subspace, event)
        if event.name == SPAWN:
            self._put(name, Entity(event.socket_id, subspace, event))
        else:
            self._pop(name)

    def drop_of(self, owner: str) -> None:
        """Removes the entities of an owner who left."""
        for name in list(self._names_of.get(owner, ())):
            self._pop(name)

    def shown(self, subspace: str) -> list[EntityEventOut]:
        """Returns the spawns that a snapshot of the subspace holds."""
        return [entity.event for entity in self._by_name.values() if entity.subspace == subspace]

    def _put(self, name: str, entity: Entity) -> None:
        before = self._by_name.get(name)
        if before and before.owner != entity.owner:
            self._pop(name)
            before = None
        self._bytes += _size(entity) - _size(before)
        self._by_name[name] = entity
        self._names_of[entity.owner].add(name)

    def _pop(self, name: str) -> None:
        entity = self._by_name.pop(name, None)
        if entity is None:
            return
        self._bytes -= _size(entity)
        self._names_of[entity.owner].discard(name)
        if not self._names_of[entity.owner]:
            del self._names_of[entity.owner]


def _require(who: str, count: int, size: int, more: tuple[int, int], most: int, most_bytes: int) -> None:
    if count + more[0] > most or size + more[1] > most_bytes:
        raise PresenceError(CONFLICT, f"{who} at most {most} entities of {most_bytes} bytes in all; remove one first.")


def _size(entity: Entity | None) -> int:
    return len(bytes(entity.event.data)) if entity else 0


def _name(subspace: str, event: EntityEventOut) -> str:
    return f"{subspace}:{msgspec.json.decode(event.data, type=_Named).id}"
