"""What was spawned in a space, after Redis was read again."""

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
    SpaceEntities,
)


def spawned(owner: str, entity_id: str, colour: str = "red") -> EntityEventOut:
    data = msgspec.Raw(msgspec.json.encode({"id": entity_id, "colour": colour}))
    return EntityEventOut(owner, None, "spawn", data)


def ids(entities: SpaceEntities) -> list[str]:
    return [msgspec.json.decode(event.data)["id"] for event in entities.shown("main")]


def test_reading_again_keeps_the_order_and_ones_own_and_takes_the_others_from_redis() -> None:
    entities = SpaceEntities()
    for owner, entity_id in (("far", "cube"), ("here", "ball"), ("far", "gone"), ("far", "cone")):
        entities.apply("main", spawned(owner, entity_id))
    stored = {f"main:{name}": Entity("far", "main", spawned("far", name, "blue")) for name in ("cone", "new", "cube")}
    stored["main:removed here"] = Entity("here", "main", spawned("here", "removed here"))
    entities.reload(stored, {"here"})
    assert ids(entities) == ["cube", "ball", "cone", "new"]
    assert b"blue" in bytes(entities.shown("main")[0].data)


def removal(sender: str, entity_id: str) -> EntityEventOut:
    return EntityEventOut(sender, None, "remove", msgspec.Raw(msgspec.json.encode({"id": entity_id})))


def refusal(entities: SpaceEntities, event: EntityEventOut, **changes: Any) -> ErrorCode | None:
    """The error that sending `event` ends with; None where it is taken, and applied."""
    sockets = {"of_account": [event.socket_id], "of_address": [event.socket_id]} | changes
    moderates = bool(sockets.pop("moderates", False))
    account, address = sockets.values()
    try:
        entities.check("main", event, moderates=moderates, of_account=lambda: account, of_address=lambda: address)
    except PresenceError as error:
        return error.kind
    entities.apply("main", event)
    return None


def fill(entities: SpaceEntities, owners: list[str], each: int) -> None:
    for owner in owners:
        for number in range(each):
            entities.apply("main", spawned(owner, f"{owner}-{number}"))


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
    ("shared_by", "most"), [("of_account", MAX_OF_ACCOUNT), ("of_address", MAX_OF_ADDRESS), (None, MAX_OWNED)]
)
def test_entities_are_bounded_by_socket_account_and_address(shared_by: str | None, most: int) -> None:
    entities = SpaceEntities()
    owners = [f"s{number}" for number in range(most // MAX_OWNED)]
    fill(entities, owners, MAX_OWNED)
    shared = {shared_by: [*owners, "new"]} if shared_by else {}
    sender = "new" if shared_by else owners[0]
    assert refusal(entities, spawned(sender, "one-more"), **shared) is CONFLICT
    entities.drop_of(owners[0])
    assert refusal(entities, spawned(sender, "one-more"), **shared) is None


def test_the_entities_of_a_space_are_bounded_in_number_but_for_those_who_moderate_it() -> None:
    entities = SpaceEntities()
    fill(entities, [f"s{number}" for number in range(MAX_IN_SPACE // 50)], 50)
    assert refusal(entities, spawned("new", "one-more")) is CONFLICT
    assert refusal(entities, spawned("owner", "notice"), moderates=True) is None
    entities.drop_of("s0")
    assert refusal(entities, spawned("new", "one-more")) is None


LARGE = "x" * 4000
SIZE = len(bytes(spawned("s", "000", LARGE).data))


def test_the_bytes_of_a_socket_an_account_and_an_address_are_bounded_and_none_of_them_fills_a_space() -> None:
    for shared_by, most in (
        ("", MAX_BYTES_OWNED),
        ("of_account", MAX_BYTES_OF_ACCOUNT),
        ("of_address", MAX_BYTES_OF_ADDRESS),
    ):
        entities = SpaceEntities()
        each = MAX_BYTES_OWNED // SIZE
        owners = [f"s{number}" for number in range(most // MAX_BYTES_OWNED)]
        for number in range(each * len(owners)):
            assert refusal(entities, spawned(owners[number // each], f"{number:03}", LARGE)) is None
        sender = "new" if shared_by else owners[0]
        shared = {shared_by: [*owners, "new"]} if shared_by else {}
        for number in range(most // SIZE - each * len(owners)):
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
