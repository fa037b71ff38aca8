"""Remembers the last removals of networked-aframe's entities, and says them again to whoever may have missed one.

A page that misses a removal shows the entity for ever: nobody syncs it any more. To say one twice does no harm, unless
the entity was made again meanwhile.
"""

from weakref import WeakKeyDictionary

import msgspec

from libs.common.contracts.presence import NafPacketOut
from services.realtime.cluster.messages import FromMember
from services.realtime.cluster.publisher import Publisher
from services.realtime.naf.entity_owners import first_syncs
from services.realtime.space.held_space import HeldSpace

REMOVAL = "r"  # the type of these packets
MOST_REMOVALS = 256  # remembered of a space

type Known = dict[tuple[str, str], FromMember]  # by subspace and entity id, the latest last


class _Removed(msgspec.Struct, rename="camel"):
    network_id: str


class Removals:
    """Those of this replica's members, by held space."""

    def __init__(self, publisher: Publisher, replica: str) -> None:
        self._publisher = publisher
        self._replica = replica
        self._of: WeakKeyDictionary[HeldSpace, Known] = WeakKeyDictionary()

    def note(self, space: HeldSpace, subspace: str, packet: NafPacketOut) -> None:
        """Remembers a removal by a member of this replica."""
        try:
            place = subspace, msgspec.json.decode(packet.data, type=_Removed).network_id
        except msgspec.MsgspecError:  # not networked-aframe's; relayed as it is
            return
        payload = msgspec.Raw(msgspec.json.encode(packet))
        known = self._of.setdefault(space, {})
        known.pop(place, None)
        known[place] = FromMember(self._replica, subspace, "broadcast", payload, packet.sender, lasts=True)
        if len(known) > MOST_REMOVALS:
            del known[next(iter(known))]

    def forget(self, space: HeldSpace, subspace: str, packet: NafPacketOut) -> None:
        """Forgets the removal of entities that a packet makes again."""
        if known := self._of.get(space):
            for entity in first_syncs(packet):
                known.pop((subspace, entity.network_id), None)

    def repeat(self, space: HeldSpace) -> None:
        """Says all of them again to the other replicas."""
        for message in self._of.get(space, {}).values():
            self._publisher.put(space.key, message)
