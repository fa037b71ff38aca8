"""A page that comes back takes its entities over from its old socket, once, and only from that."""

from typing import Any, cast

import msgspec

from libs.common.contracts.presence import NafPacketOut
from services.realtime.naf.entity_owners import EntityOwners
from services.realtime.space.held_space import HeldSpace


class Occupied:
    """Of a held space only who is there."""

    def __init__(self, *members: str) -> None:
        self.members = set(members)

    def has_member(self, socket_id: str, _subspace: str) -> bool:
        return socket_id in self.members


def space_of(*members: str) -> HeldSpace:
    return cast("HeldSpace", Occupied(*members))


def sync(sender: str, *ids: str, creator: str | None = None, first: bool = True, many: bool = False) -> NafPacketOut:
    entities: list[Any] = [{"networkId": i, "creator": creator or sender, "isFirstSync": first} for i in ids]
    data = {"d": entities} if many else entities[0]
    return NafPacketOut(sender, "um" if many else "u", msgspec.Raw(msgspec.json.encode(data)))


def test_an_entity_of_another_occupant_is_taken_over_until_that_one_is_gone() -> None:
    space, creators = space_of("old", "new"), EntityOwners()
    assert creators.taken_over(space, "main", sync("old", "avatar")) == []
    assert creators.taken_over(space, "main", sync("new", "avatar")) == ["avatar"]
    assert creators.taken_over(space, "main", sync("new", "avatar", "hat", many=True)) == ["avatar"]
    creators.forget(space, "main", {"new"})
    assert creators.taken_over(space, "main", sync("new", "avatar")) == []


def test_other_packets_take_nothing_over() -> None:
    space, creators = space_of("one", "two"), EntityOwners()
    creators.taken_over(space, "main", sync("one", "ball"))
    for packet in (
        sync("two", "ball", first=False),
        sync("two", "ball", creator="one"),
        NafPacketOut("two", "r", msgspec.Raw(b'{"networkId":"ball"}')),
        NafPacketOut("two", "u", msgspec.Raw(b'{"isFirstSync":true}')),
        NafPacketOut("two", "um", msgspec.Raw(b'["isFirstSync":true]')),
    ):
        assert creators.taken_over(space, "main", packet) == []
    assert creators.taken_over(space, "other", sync("two", "ball")) == [], "another subspace's ball"
