"""Keeps entities that were spawned and not removed, as they are now: late joiners find them in their snapshot.

An entity is its owner's, on whatever socket and replica: whoever comes back after a break, or from another network
while the old connection has not died yet, goes on with it. It goes when the last socket of its owner leaves the
subspace.

Each replica that holds a space keeps them by id. Whatever changes one carries a stamp, and of two changes the later
holds, in whatever order they come: so two replicas that heard the same agree, also after Redis was away. For that a
removal is remembered for a while.

Everything kept is in every later snapshot, so it is bounded: by socket, account, address and space.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from libs.common.contracts.presence import EntityEventOut
from libs.common.errors import CONFLICT, FORBIDDEN, INVALID_INPUT, PresenceError
from services.realtime.cluster.messages import Entity

SPAWN, REMOVE = "spawn", "remove"
MAX_DATA = 4096  # bytes of JSON an entity may carry into every later snapshot
# Entities, and bytes of their data, of one socket; of all sockets of an account in the space; of all owners at an
# address on one replica; of the space with all its subspaces. The last is what a newcomer has to take, and no single
# address fills it.
MAX_OWNED, MAX_BYTES_OWNED = 64, 64 * 1024
MAX_OF_ACCOUNT, MAX_BYTES_OF_ACCOUNT = 128, 128 * 1024
MAX_OF_ADDRESS, MAX_BYTES_OF_ADDRESS = 256, 256 * 1024
MAX_IN_SPACE, MAX_BYTES_IN_SPACE = 2000, 1024 * 1024
MAX_REMOVED = 2000  # removals of a space that are remembered

_encode = msgspec.json.encode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

type Home = tuple[str, str]  # an owner and a subspace
type Moved = Callable[[Entity], Mapping[str, Any] | None]  # the fields that an owner's poses tell of an entity


class _Named(msgspec.Struct):
    id: str


@dataclass(frozen=True, slots=True)
class Sender:
    """Who changes an entity. `at_address` gives the owners who share its address."""

    owner: str
    at_address: Callable[[], Iterable[str]]
    moderates: bool = False


class SpaceEntities:
    """The entities of one space, all subspaces; by subspace and id, since each subspace is a scene of its own."""

    def __init__(self) -> None:
        self._by_name: dict[str, Entity] = {}
        self._names_of: dict[str, set[str]] = defaultdict(set)  # by owner
        self._removed: dict[str, int] = {}  # stamps by name, the latest removal last
        self._bytes = 0

    def all(self) -> dict[str, Entity]:
        """Returns a copy, by name."""
        return dict(self._by_name)

    def get(self, name: str) -> Entity | None:
        return self._by_name.get(name)

    def of(self, homes: Iterable[Home]) -> dict[str, Entity]:
        """Returns what these owners have in these subspaces, by name."""
        return {name: self._by_name[name] for owner, subspace in homes for name in self._names_in(owner, subspace)}

    def _names_in(self, owner: str, subspace: str) -> list[str]:
        return [name for name in self._names_of.get(owner, ()) if self._by_name[name].subspace == subspace]

    # What a member of this replica changes.

    def check(self, subspace: str, event: EntityEventOut, sender: Sender) -> str | None:
        """Returns the name of the entity that an event changes; None for an event that changes none.

        Raises `invalid_input`, `conflict` where a bound is reached or the id is taken, and `forbidden` for a removal by
        neither its owner nor one who moderates. A space that is full is not full for those who moderate it.
        """
        if event.name not in (SPAWN, REMOVE):
            return self._check_change(subspace, event, sender)
        try:
            name = entity_name(subspace, event)
        except msgspec.MsgspecError as error:
            raise PresenceError(INVALID_INPUT, f"A {event.name} names its entity in data.id.") from error
        known = self._by_name.get(name)
        is_others = known is not None and known.owner != sender.owner
        if event.name == REMOVE:
            if is_others and not sender.moderates:
                raise PresenceError(FORBIDDEN, "An entity is removed by its owner, or by a moderator.")
        elif is_others:
            raise PresenceError(CONFLICT, "Someone else has spawned an entity of that id.")
        else:
            self._require_room(event.socket_id, sender, known, len(bytes(event.data)))
        return name

    def _check_change(self, subspace: str, event: EntityEventOut, sender: Sender) -> str | None:
        """What others say of an entity is relayed and not kept."""
        if not self._by_name:
            return None
        try:
            name = entity_name(subspace, event)
        except msgspec.MsgspecError:
            return None
        known = self._by_name.get(name)
        if known is None or (known.owner != sender.owner and not sender.moderates):
            return None
        self._require_room(known.event.socket_id, sender, known, len(_changed(known.event.data, event.data)))
        return name

    def _require_room(self, socket_id: str, sender: Sender, known: Entity | None, size: int) -> None:
        if size > MAX_DATA:
            raise PresenceError(INVALID_INPUT, f"An entity's data is at most {MAX_DATA} bytes.")
        more = 0 if known else 1, size - _size(known)
        if known is not None and more[1] <= 0:
            return
        if not sender.moderates:
            _require("A space has", len(self._by_name), self._bytes, more, MAX_IN_SPACE, MAX_BYTES_IN_SPACE)
        owner = known.owner if known else sender.owner
        names = self._names_of.get(owner, set())
        of_socket = [name for name in names if self._by_name[name].event.socket_id == socket_id]
        self._require_own(of_socket, more, MAX_OWNED, MAX_BYTES_OWNED)
        self._require_own(names, more, MAX_OF_ACCOUNT, MAX_BYTES_OF_ACCOUNT)
        at_address = [name for other in set(sender.at_address()) for name in self._names_of.get(other, ())]
        self._require_own(at_address, more, MAX_OF_ADDRESS, MAX_BYTES_OF_ADDRESS)

    def _require_own(self, names: Iterable[str], more: tuple[int, int], most: int, most_bytes: int) -> None:
        names = list(names)
        size = sum(_size(self._by_name[name]) for name in names)
        _require("One may have", len(names), size, more, most, most_bytes)

    def new_stamp(self, name: str) -> int:
        """Returns the stamp of a change that happens now: greater than that of any before it."""
        known = self._by_name.get(name)
        before = max(known.stamp if known else 0, self._removed.get(name, 0))
        return max(time.time_ns() // 1000, before + 1)

    # What is taken in, from here or elsewhere.

    def apply(self, subspace: str, event: EntityEventOut, owner: str, stamp: int) -> bool:
        """Applies a change that was checked where it was sent. Returns False for one that a later one has overtaken."""
        name = entity_name(subspace, event)
        known = self._by_name.get(name)
        if stamp <= max(known.stamp if known else 0, self._removed.get(name, 0)):
            return False
        if event.name == SPAWN:
            self._put(name, Entity(owner, subspace, event, stamp))
        elif event.name == REMOVE:
            self._pop(name)
            self._remember(name, stamp)
        elif known:
            self._put(name, _with(known, _changed(known.event.data, event.data), stamp))
        return True

    def take(self, name: str, entity: Entity) -> bool:
        """Takes an entity as it is stored. Returns whether that is news here.

        Of one stamp what is stored holds: a change that was heard without the one before it is half of it.
        """
        known = self._by_name.get(name)
        if entity.stamp <= self.removal_of(name) or (known and entity.stamp < known.stamp):
            return False
        if known and entity.stamp == known.stamp and bytes(entity.event.data) == bytes(known.event.data):
            return False
        self._put(name, entity)
        return True

    def removal_of(self, name: str) -> int:
        """Returns the stamp of an entity's removal; 0 where none is known since it was spawned last."""
        return self._removed.get(name, 0)

    def drop(self, name: str) -> None:
        """Forgets an entity that is gone elsewhere."""
        self._pop(name)

    def drop_of(self, owner: str, subspace: str) -> None:
        """Removes the entities of an owner who left the subspace."""
        for name in self._names_in(owner, subspace):
            self._pop(name)

    def hand_on(
        self, owner: str, subspace: str, gone: str, successor: str, moved: Mapping[str, Any]
    ) -> dict[str, Entity]:
        """Shows the entities of a `gone` socket as those of another one of their owner; returns those that changed.

        `moved` is what the poses of the one that is gone said of entities, by id: from now on the entities say it.
        """
        changed = {}
        for name in self._names_in(owner, subspace):
            entity = self._by_name[name]
            data = _placed(entity, moved)
            if data is not None and len(bytes(data)) <= MAX_DATA:
                entity = changed[name] = _with(entity, data, entity.stamp + 1)
            if entity.event.socket_id == gone:
                entity = shown_with(entity, successor)
            self._put(name, entity)
        return changed

    def shown(self, subspace: str, moved: Moved = lambda _: None) -> list[EntityEventOut]:
        """Returns the spawns that a snapshot of the subspace holds: every entity as it is now."""
        return [_shown(entity, moved(entity)) for entity in self._by_name.values() if entity.subspace == subspace]

    def _remember(self, name: str, stamp: int) -> None:
        self._removed.pop(name, None)
        self._removed[name] = stamp
        if len(self._removed) > MAX_REMOVED:
            del self._removed[next(iter(self._removed))]

    def _put(self, name: str, entity: Entity) -> None:
        before = self._by_name.get(name)
        if before and before.owner != entity.owner:
            self._pop(name)
            before = None
        self._bytes += _size(entity) - _size(before)
        self._by_name[name] = entity
        self._names_of[entity.owner].add(name)
        self._removed.pop(name, None)

    def _pop(self, name: str) -> None:
        entity = self._by_name.pop(name, None)
        if entity is None:
            return
        self._bytes -= _size(entity)
        self._names_of[entity.owner].discard(name)
        if not self._names_of[entity.owner]:
            del self._names_of[entity.owner]


def entity_name(subspace: str, event: EntityEventOut) -> str:
    """Returns the name of the entity in `data.id`. Raises `MsgspecError` where there is none."""
    return f"{subspace}:{entity_id(event)}"


def entity_id(event: EntityEventOut) -> str:
    """Raises `MsgspecError` for data without an id."""
    return msgspec.json.decode(event.data, type=_Named).id


def _require(who: str, count: int, size: int, more: tuple[int, int], most: int, most_bytes: int) -> None:
    if count + more[0] > most or size + more[1] > most_bytes:
        raise PresenceError(CONFLICT, f"{who} at most {most} entities of {most_bytes} bytes in all; remove one first.")


def _size(entity: Entity | None) -> int:
    return len(bytes(entity.event.data)) if entity else 0


def _changed(data: msgspec.Raw, newer: Any) -> msgspec.Raw:
    """Returns an entity's data with the fields that `newer`, JSON or an object, says anew."""
    fields = _decode_fields(newer) if isinstance(newer, msgspec.Raw) else newer
    return msgspec.Raw(_encode(_decode_fields(data) | fields))


def shown_with(entity: Entity, socket_id: str) -> Entity:
    """Returns the entity as that of a socket."""
    return msgspec.structs.replace(entity, event=msgspec.structs.replace(entity.event, socket_id=socket_id))


def _with(entity: Entity, data: msgspec.Raw, stamp: int) -> Entity:
    event = msgspec.structs.replace(entity.event, data=data)
    return msgspec.structs.replace(entity, stamp=stamp, event=event)


def _placed(entity: Entity, moved: Mapping[str, Any]) -> msgspec.Raw | None:
    """Returns an entity's data with what poses said of it; None where they said nothing, or too much."""
    told = moved.get(entity_id(entity.event)) if moved else None
    if not isinstance(told, dict):
        return None
    return _changed(entity.event.data, {**told, "id": entity_id(entity.event)})


def _shown(entity: Entity, moved: Mapping[str, Any] | None) -> EntityEventOut:
    data = _placed(entity, moved) if moved else None
    return msgspec.structs.replace(entity.event, data=data) if data is not None else entity.event
