"""The things of one space, all subspaces, as this replica knows them."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec import Raw

from libs.common.contracts.things import Thing, ThingHeld, ThingReleased, ThingVersion, ThingWasSet
from services.realtime.cluster.messages import ThingChange, ThingRecord
from services.realtime.cluster.thing_store import size_of

type Told = tuple[str, Thing | ThingHeld | ThingReleased | ThingVersion | ThingWasSet]  # name and payload of an event


class SpaceThings:
    """`version` is the number of the last change it holds; 0 before the first reading."""

    def __init__(self) -> None:
        self.version = 0
        self._by_name: dict[tuple[str, str], ThingRecord] = {}  # by subspace and id
        self._shown: dict[str, Raw] = {}  # by subspace

    def __iter__(self) -> Iterator[ThingRecord]:
        return iter(list(self._by_name.values()))

    def shown(self, subspace: str) -> Raw:
        """Returns the JSON of the things in a subspace, for a snapshot."""
        if subspace not in self._shown:
            things = [thing_of(record) for record in self if record.subspace == subspace]
            self._shown[subspace] = Raw(msgspec.json.encode(things))
        return self._shown[subspace]

    def apply(self, change: ThingChange) -> Told | None:
        """Takes the change that follows its version. Returns what clients are told of it."""
        self.version = change.version
        self._shown.pop(change.subspace, None)
        name = change.subspace, change.id
        if change.kind == "ended":
            self._by_name = {name: thing for name, thing in self._by_name.items() if name[0] != change.subspace}
        elif change.thing:
            self._by_name[name] = change.thing
            return "thing-made", thing_of(change.thing)
        elif change.kind == "removed":
            self._by_name.pop(name, None)
            return "thing-removed", ThingVersion(change.id, change.version)
        elif known := self._by_name.get(name):
            known.version = change.version
            return _changed(known, change)
        return None

    def take(self, version: int, records: Iterable[ThingRecord]) -> list[tuple[str, Told]]:
        """Takes what is stored. Returns, each with its subspace, what clients are told of how it differs."""
        before, self._by_name = self._by_name, {(record.subspace, record.id): record for record in records}
        self.version = version
        self._shown.clear()
        told: list[tuple[str, Told]] = []
        for subspace, gone in before.keys() - self._by_name.keys():
            told.append((subspace, ("thing-removed", ThingVersion(gone, version))))
        for name, record in self._by_name.items():
            if before.get(name) != record:
                told.append((record.subspace, ("thing-made", thing_of(record))))
        return told


def thing_of(record: ThingRecord) -> Thing:
    """Returns a thing as clients are shown it."""
    state = _as_raw(record.state)
    return Thing(record.id, record.version, state, record.holder or None, record.account or None)


def _changed(thing: ThingRecord, change: ThingChange) -> Told | None:
    if change.kind == "held":
        thing.holder, thing.holder_owner, thing.holder_home = change.socket_id, change.owner, change.home
        return "thing-held", ThingHeld(change.id, change.version, change.socket_id)
    if change.kind == "released":
        thing.holder = thing.holder_owner = thing.holder_home = ""
        return "thing-released", ThingReleased(change.id, change.version)
    if change.kind == "set":
        state = {**thing.state, **change.state}
        thing.state = {name: value for name, value in state.items() if value != "null"}
        thing.bytes = size_of(thing.state)
        return "thing-set", ThingWasSet(change.id, change.version, _as_raw(change.state), change.socket_id)
    return None


def _as_raw(state: Mapping[str, str]) -> dict[str, Raw]:
    return {name: Raw(value.encode()) for name, value in state.items()}
