"""Remembers which socket created which entity of networked-aframe, for a client that comes back before its old socket
is gone.

A page that reconnects keeps the ids of its entities and names its new socket as their creator. Pages that still show
them as the old socket's pass over the new creator, and remove them when the old socket leaves, for good. So the first
sync of an entity that another socket in the room has created must follow its removal.
"""

from collections.abc import Container
from weakref import WeakKeyDictionary

import msgspec

from libs.common.contracts.presence import NafPacketOut
from services.realtime.space.held_space import HeldSpace

MOST_ENTITIES = 10_000  # remembered of a space
LONGEST_ID = 64  # characters
FIRST_SYNC = b'"isFirstSync":true'


class Entity(msgspec.Struct, rename="camel"):
    network_id: str
    creator: str = ""
    is_first_sync: bool = False


class _Update(msgspec.Struct):
    """The `data` of a packet of type `um`: several entities; one of type `u` is one entity."""

    d: list[Entity]


class EntityOwners:
    """The creators of entities, by subspace and entity id, of each held space."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[HeldSpace, dict[tuple[str, str], str]] = WeakKeyDictionary()

    def taken_over(self, space: HeldSpace, subspace: str, packet: NafPacketOut) -> list[str]:
        """Returns the entities of another occupant that the packet makes its sender's."""
        known = self._of.setdefault(space, {})
        taken = []
        for entity in first_syncs(packet):
            place = (subspace, entity.network_id)
            before = known.get(place, packet.sender)
            if before != packet.sender and space.has_member(before, subspace):
                taken.append(entity.network_id)  # until it is gone: one page hears of it sooner than another
            elif len(known) < MOST_ENTITIES and len(entity.network_id) <= LONGEST_ID:
                known[place] = packet.sender
        return taken

    def forget(self, space: HeldSpace, subspace: str, occupants: Container[str]) -> None:
        """Drops the entities of sockets that left: the pages have removed them."""
        known = self._of.get(space, {})
        gone = [place for place, creator in known.items() if place[0] == subspace and creator not in occupants]
        for place in gone:
            del known[place]


def first_syncs(packet: NafPacketOut) -> list[Entity]:
    """Returns the entities that the sender says it created."""
    data = bytes(packet.data)
    if packet.type not in ("u", "um") or FIRST_SYNC not in data:
        return []
    try:
        if packet.type == "u":
            entities = [msgspec.json.decode(data, type=Entity)]
        else:
            entities = msgspec.json.decode(data, type=_Update).d
    except msgspec.MsgspecError:  # not networked-aframe's; relayed as it is
        return []
    return [entity for entity in entities if entity.is_first_sync and entity.creator == packet.sender]
