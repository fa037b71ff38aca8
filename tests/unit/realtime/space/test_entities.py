"""What was spawned in a space: as it is now, its owner's, bounded, and the same whatever came first."""

from itertools import count, permutations
from typing import Any

import msgspec
import pytest

from libs.common.contracts.presence import EntityEventOut
from libs.common.errors import CONFLICT, FORBIDDEN, INVALID_INPUT, ErrorCode, PresenceError
from services.realtime.cluster.messages import Entity
from services.realtime.space.entities import (
    MAX_BYTES_IN_SPACE,
    MAX_BYTES_OF_ACCOUNT,
    MAX_BYTES_OF_ADDRESS,
    MAX_BYTES_OWNED,
    MAX_DATA,
    MAX_IN_SPACE,
    MAX_OF_ACCOUNT,
    MAX_OF_ADDRESS,
    MAX_OWNED,
    MAX_REMOVED,
    Sender,
    SpaceEntities,
)

_stamps = count(1)


def event(name: str, socket_id: str, entity_id: str, **fields: Any) -> EntityEventOut:
    return EntityEventOut(socket_id, None, name, msgspec.Raw(msgspec.json.encode({"id": entity_id, **fields})))


def spawned(socket_id: str, entity_id: str, colour: str = "red") -> EntityEventOut:
    return event("spawn", socket_id, entity_id, colour=colour)


def removal(socket_id: str, entity_id: str) -> EntityEventOut:
    return event("remove", socket_id, entity_id)


def apply(entities: SpaceEntities, told: EntityEventOut, owner: str = "", stamp: int = 0) -> bool:
    return entities.apply("main", told, owner or told.socket_id, stamp or next(_stamps))


def shown(entities: SpaceEntities) -> list[dict[str, Any]]:
    return [msgspec.json.decode(told.data) for told in entities.shown("main")]


def ids(entities: SpaceEntities) -> list[str]:
    return [data["id"] for data in shown(entities)]


def refusal(
    entities: SpaceEntities,
    told: EntityEventOut,
    *,
    owner: str = "",
    at_address: list[str] | None = None,
    moderates: bool = False,
) -> ErrorCode | None:
    """The error that sending `told` ends with; None where it is taken, and applied."""
    owner = owner or told.socket_id
    sender = Sender(owner, lambda: [owner] if at_address is None else at_address, moderates)
    try:
        name = entities.check("main", told, sender)
    except PresenceError as error:
        return error.kind
    if name:
        apply(entities, told, owner)
    return None


def fill(entities: SpaceEntities, owners: list[str], each: int) -> None:
    for owner in owners:
        for number in range(each):
            apply(entities, spawned(owner, f"{owner}-{number}"))


# As it is now.


def test_an_owners_events_about_an_entity_change_what_later_joiners_are_shown() -> None:
    entities = SpaceEntities()
    apply(entities, event("spawn", "ann", "ball", colour="red", position={"x": 0}))
    assert refusal(entities, event("kicked", "ann", "ball", position={"x": 5})) is None
    assert refusal(entities, event("painted", "mona", "ball", colour="blue"), moderates=True) is None
    assert shown(entities) == [{"id": "ball", "colour": "blue", "position": {"x": 5}}]
    (told,) = entities.shown("main")
    assert (told.name, told.socket_id) == ("spawn", "ann")


def test_what_others_say_of_an_entity_or_of_none_is_not_kept() -> None:
    entities = SpaceEntities()
    apply(entities, spawned("ann", "ball"))
    before = shown(entities)
    other = Sender("bob", lambda: ["bob"])
    own = Sender("ann", lambda: ["ann"])
    assert entities.check("main", event("kicked", "bob", "ball", x=1), other) is None
    assert entities.check("main", event("kicked", "ann", "another"), own) is None
    assert entities.check("attic", event("kicked", "ann", "ball"), own) is None
    for data in (b"1", b'{"id":7}', b"[]"):
        assert entities.check("main", EntityEventOut("ann", None, "wave", msgspec.Raw(data)), own) is None
    assert shown(entities) == before


def test_a_change_that_makes_an_entity_too_large_is_refused() -> None:
    entities = SpaceEntities()
    apply(entities, spawned("ann", "ball", "x" * 4000))
    assert refusal(entities, event("painted", "ann", "ball", more="y" * 200)) is INVALID_INPUT
    assert refusal(entities, event("painted", "ann", "ball", colour="y" * 200)) is None


def test_poses_that_tell_of_an_entity_are_shown_in_it() -> None:
    entities = SpaceEntities()
    apply(entities, spawned("ann", "ball"))
    apply(entities, spawned("ann", "cube"))
    moved = {"ball": {"position": {"x": 5}}, "cube": "no object"}
    told = [msgspec.json.decode(told.data) for told in entities.shown("main", lambda _: moved)]
    assert told == [{"id": "ball", "colour": "red", "position": {"x": 5}}, {"id": "cube", "colour": "red"}]


# The same, whatever came first.


def test_the_latest_change_holds_in_whatever_order_changes_come() -> None:
    changes = [
        (1, event("spawn", "one", "ball", colour="red")),
        (2, event("remove", "two", "ball")),
        (3, event("spawn", "three", "ball", colour="blue")),
    ]
    for order in permutations(changes):
        entities = SpaceEntities()
        for stamp, told in order:
            apply(entities, told, "ann", stamp)
        assert [data["colour"] for data in shown(entities)] == ["blue"]
    for order in permutations([*changes, (4, event("remove", "one", "ball"))]):
        entities = SpaceEntities()
        for stamp, told in order:
            apply(entities, told, "ann", stamp)
        assert shown(entities) == []


def test_a_change_from_here_is_later_than_all_that_is_known() -> None:
    entities = SpaceEntities()
    far = 2**52
    apply(entities, spawned("ann", "ball"), stamp=far)
    assert entities.new_stamp("main:ball") == far + 1
    apply(entities, removal("ann", "ball"), stamp=far + 1)
    assert entities.new_stamp("main:ball") == far + 2


def test_what_is_stored_is_taken_unless_it_is_older_than_what_is_known() -> None:
    entities = SpaceEntities()
    apply(entities, spawned("ann", "ball", "red"), stamp=5)
    assert not entities.take("main:ball", Entity("ann", "main", spawned("ann", "ball", "old"), 4))
    assert not entities.take("main:ball", Entity("ann", "main", spawned("ann", "ball", "red"), 5))
    assert entities.take("main:ball", Entity("ann", "main", spawned("ann", "ball", "whole"), 5))
    assert entities.take("main:ball", Entity("ann", "main", spawned("ann", "ball", "new"), 6))
    apply(entities, removal("ann", "ball"), stamp=7)
    assert not entities.take("main:ball", Entity("ann", "main", spawned("ann", "ball", "new"), 6))
    assert ids(entities) == []


def test_removals_are_remembered_up_to_a_bound() -> None:
    entities = SpaceEntities()
    for number in range(MAX_REMOVED + 1):
        apply(entities, removal("ann", f"e{number}"))
    assert (entities.removal_of("main:e0"), entities.removal_of("main:e1") > 0) == (0, True)


# Whose it is.


def test_an_owner_goes_on_with_an_entity_on_another_socket() -> None:
    entities = SpaceEntities()
    apply(entities, spawned("old", "ball"), "account:ann")
    assert refusal(entities, event("painted", "new", "ball", colour="blue"), owner="account:ann") is None
    assert refusal(entities, spawned("new", "ball", "green"), owner="account:ann") is None
    assert refusal(entities, removal("new", "ball"), owner="account:ann") is None
    assert ids(entities) == []


def test_entities_are_handed_on_as_they_were_when_their_socket_went() -> None:
    entities = SpaceEntities()
    apply(entities, spawned("old", "ball"), "account:ann")
    apply(entities, spawned("other", "cube"), "account:ann")
    changed = entities.hand_on("account:ann", "main", "old", "new", {"ball": {"position": {"x": 5}}})
    assert list(changed) == ["main:ball"]
    assert [(told.socket_id, msgspec.json.decode(told.data)["id"]) for told in entities.shown("main")] == [
        ("new", "ball"),
        ("other", "cube"),
    ]
    assert shown(entities)[0]["position"] == {"x": 5}


def test_what_an_owner_has_in_another_subspace_stays_when_they_leave_this_one() -> None:
    entities = SpaceEntities()
    for subspace in ("main", "attic"):
        entities.apply(subspace, spawned("ann", "ball"), "ann", next(_stamps))
    entities.drop_of("ann", "main")
    assert (len(entities.shown("main")), len(entities.shown("attic"))) == (0, 1)


def test_an_entity_is_removed_by_its_owner_or_a_moderator_and_nobody_else() -> None:
    entities = SpaceEntities()
    fill(entities, ["ann"], 2)
    assert refusal(entities, removal("bob", "ann-0")) is FORBIDDEN
    assert ids(entities) == ["ann-0", "ann-1"]
    assert refusal(entities, removal("bob", "ann-0"), moderates=True) is None
    assert refusal(entities, removal("ann", "ann-1")) is None
    assert ids(entities) == []


def test_an_id_that_is_taken_stays_its_owners_also_towards_a_moderator() -> None:
    entities = SpaceEntities()
    fill(entities, ["ann"], 1)
    assert refusal(entities, spawned("bob", "ann-0", "blue"), moderates=True) is CONFLICT
    assert refusal(entities, spawned("ann", "ann-0", "blue")) is None
    assert b"blue" in bytes(entities.shown("main")[0].data)


@pytest.mark.parametrize(
    ("shared_by", "most"), [("account", MAX_OF_ACCOUNT), ("address", MAX_OF_ADDRESS), ("socket", MAX_OWNED)]
)
def test_entities_are_bounded_by_socket_account_and_address(shared_by: str, most: int) -> None:
    entities = SpaceEntities()
    sockets = [f"s{number}" for number in range(most // MAX_OWNED)]
    owner = "account:ann" if shared_by == "account" else ""
    for socket_id in sockets:
        for number in range(MAX_OWNED):
            assert refusal(entities, spawned(socket_id, f"{socket_id}-{number}"), owner=owner) is None
    sender = sockets[0] if shared_by == "socket" else "new"
    shared: dict[str, Any] = {"owner": owner, "at_address": [*sockets, "new"] if shared_by == "address" else None}
    assert refusal(entities, spawned(sender, "one-more"), **shared) is CONFLICT
    assert refusal(entities, removal("s0", "s0-0"), owner=owner) is None
    assert refusal(entities, spawned(sender, "one-more"), **shared) is None


def test_the_entities_of_a_space_are_bounded_in_number_but_for_those_who_moderate_it() -> None:
    entities = SpaceEntities()
    fill(entities, [f"s{number}" for number in range(MAX_IN_SPACE // 50)], 50)
    assert refusal(entities, spawned("new", "one-more")) is CONFLICT
    assert refusal(entities, spawned("owner", "notice"), moderates=True) is None
    entities.drop_of("s0", "main")
    assert refusal(entities, spawned("new", "one-more")) is None


LARGE = "x" * 4000
SIZE = len(bytes(spawned("s", "000", LARGE).data))


@pytest.mark.parametrize(
    ("shared_by", "most"),
    [("socket", MAX_BYTES_OWNED), ("account", MAX_BYTES_OF_ACCOUNT), ("address", MAX_BYTES_OF_ADDRESS)],
)
def test_the_bytes_of_a_socket_an_account_and_an_address_are_bounded_and_none_of_them_fills_a_space(
    shared_by: str, most: int
) -> None:
    entities = SpaceEntities()
    each = MAX_BYTES_OWNED // SIZE
    sockets = [f"s{number}" for number in range(most // MAX_BYTES_OWNED)]
    owner = "account:ann" if shared_by == "account" else ""
    shared: dict[str, Any] = {"owner": owner, "at_address": [*sockets, "new"] if shared_by == "address" else None}
    for number in range(each * len(sockets)):
        assert refusal(entities, spawned(sockets[number // each], f"{number:03}", LARGE), **shared) is None
    sender = sockets[0] if shared_by == "socket" else "new"
    for number in range(most // SIZE - each * len(sockets)):
        assert refusal(entities, spawned(sender, f"r{number:02}", LARGE), **shared) is None
    assert refusal(entities, spawned(sender, "one", LARGE), **shared) is CONFLICT
    assert refusal(entities, spawned("stranger", "two", LARGE)) is None


def test_the_bytes_of_a_space_are_bounded_and_what_becomes_smaller_is_taken() -> None:
    entities = SpaceEntities()
    for number in range(MAX_BYTES_IN_SPACE // SIZE):
        assert refusal(entities, spawned(f"s{number % 40}", f"{number:03}", LARGE)) is None
    assert refusal(entities, spawned("new", "big", LARGE)) is CONFLICT
    assert refusal(entities, spawned("s0", "000", "x")) is None
    assert refusal(entities, removal("s1", "001")) is None
    assert refusal(entities, spawned("new", "big", LARGE)) is None
    assert refusal(entities, spawned("new", "too-big", "x" * MAX_DATA)) is INVALID_INPUT
