"""What a person made and was is the person's, not the socket's: after a break, and while the old connection lives."""

from typing import Any

import pytest

from libs.common.contracts import chat
from libs.common.contracts.presence import AframeUpdate, Position, Rotation
from libs.common.identity import Identity
from tests.integration.realtime.people import account, code_of, guest, stranger
from tests.integration.realtime.world import PATIENCE, World, running
from tests.support.waiting import eventually

HERE = Position(1.0, 2.0, 3.0)
HAT = {"hat": "red"}


async def furnish(world: World, name: str) -> None:
    """Gives a person a place, an avatar, a voice and a chair."""
    await world.join(name, avatar=HAT)
    await world.speak(name)
    await world.spawn(name, "chair", colour="red")
    await world.move_and_tell(name, AframeUpdate(HERE, Rotation(0.0, 90.0, 0.0)))


def chairs(snapshot: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entity["data"]["id"], entity["socketId"]) for entity in snapshot["entities"]]


async def late(world: World, name: str, replica: str = "r1") -> dict[str, Any]:
    """Returns the snapshot of somebody who comes now, and goes again."""
    snapshot = await world.join(name, replica=replica)
    await world.leave(name)
    return snapshot


async def come_back(world: World, how: str, replica: str) -> dict[str, Any]:
    if how == "after a break":
        await world.drop("ann")
    return await world.join("ann2", as_name="ann", replica=replica)


@pytest.mark.parametrize("replica", ["r1", "r2"])
@pytest.mark.parametrize("how", ["after a break", "from another network"])
async def test_a_person_who_comes_back_goes_on_as_they_were(world: World, how: str, replica: str) -> None:
    await world.join("bob", replica="r2")
    await furnish(world, "ann")
    told = await come_back(world, how, replica)
    await world.settled()
    you = told["you"]
    where = {"x": 1.0, "y": 2.0, "z": 3.0}
    assert (you["position"], you["avatar_data"], you["voice"]["enabled"]) == (where, HAT, True), "for oneself"
    assert told["pose"]["rotation"]["y"] == 90.0
    assert [name for name, _ in chairs(told)] == ["chair"]
    seen = world.heard_by("bob", "user-joined")[-1]
    assert (seen["position"], seen["avatar_data"], seen["voice"]["enabled"]) == (where, HAT, True), "for those present"
    for place in ("r1", "r2"):
        snapshot = await late(world, f"late at {place}", place)
        shown = {user["socketId"]: user for user in snapshot["users"]}[world.sid("ann2")]
        assert (shown["position"], shown["avatar_data"], shown["voice"]["enabled"]) == (where, HAT, True)
        owner = world.sid("ann2") if how == "after a break" else world.sid("ann")
        assert chairs(snapshot) == [("chair", owner)], "for those who come later"
    if how == "after a break":
        left = world.heard_by("bob", "user-left")[0]
        assert (left["reason"], left["successor"]) == ("replaced", world.sid("ann2"))


async def test_what_joining_says_anew_holds_before_what_was(world: World) -> None:
    await furnish(world, "ann")
    await world.drop("ann")
    told = await world.join("ann2", as_name="ann", avatar={"hat": "blue"}, position=Position(9.0))
    assert (told["you"]["position"]["x"], told["you"]["avatar_data"]) == (9.0, {"hat": "blue"})
    assert (told["pose"]["position"]["x"], told["pose"]["rotation"]["y"]) == (9.0, 90.0)


async def test_a_microphone_is_off_where_its_person_was_muted_meanwhile(world: World) -> None:
    await furnish(world, "ann")
    await world.drop("ann")
    world.store.muted.add("ann")
    told = await world.join("ann2", as_name="ann")
    assert told["you"]["voice"] == {"enabled": False, "muted": True, "speaking": False, "screen": False}


@pytest.mark.parametrize("person", [account("ann"), guest("ann")])
async def test_one_goes_on_with_ones_own_entities_while_the_old_connection_has_not_died(
    world: World, person: Identity
) -> None:
    await world.join("bob", replica="r2")
    await world.join("ann", person=person)
    for name in ("chair", "lamp"):
        await world.spawn("ann", name)
    await world.join("ann2", person=person, replica="r2")
    await world.settled()
    await world.tell_of("ann2", "remove", "chair")
    await world.spawn("ann2", "lamp", colour="blue")
    await world.spawn("ann2", "table")
    await world.settled()
    for replica in ("r1", "r2"):
        snapshot = await late(world, f"late at {replica}", replica)
        assert {name for name, _ in chairs(snapshot)} == {"lamp", "table"}
    assert await code_of(world.tell_of("bob", "remove", "lamp")) == "forbidden"
    assert await code_of(world.spawn("bob", "table")) == "conflict"


async def test_what_a_dead_connection_spawned_goes_on_with_the_persons_other_one(redis_url: str) -> None:
    async with running(redis_url, grace=0.1) as world:
        await world.join("bob", replica="r2")
        await furnish(world, "ann")
        await world.join("ann2", as_name="ann", replica="r2")
        await world.drop("ann")
        await eventually(lambda: world.leaves_heard_by("bob") == [("ann", "disconnected")], PATIENCE)
        assert world.heard_by("bob", "user-left")[0]["successor"] == world.sid("ann2")
        for replica in ("r1", "r2"):
            assert chairs(await late(world, f"late at {replica}", replica)) == [("chair", world.sid("ann2"))]
        await world.leave("ann2")
        await world.settled()
        assert "successor" not in world.heard_by("bob", "user-left")[-1]
        assert chairs(await late(world, "late")) == []


async def test_who_never_comes_back_takes_their_entities_along_when_the_grace_ends(redis_url: str) -> None:
    async with running(redis_url, grace=0.1) as world:
        await world.join("bob", replica="r2")
        await furnish(world, "ann")
        await world.drop("ann")
        assert [name for name, _ in chairs(await late(world, "early", "r2"))] == ["chair"]
        await eventually(lambda: ("ann", "disconnected") in world.leaves_heard_by("bob"), PATIENCE)
        assert "successor" not in world.heard_by("bob", "user-left")[-1]
        for replica in ("r1", "r2"):
            assert chairs(await late(world, f"late at {replica}", replica)) == []


async def test_entering_again_where_one_is_keeps_what_one_made_and_was(world: World) -> None:
    await world.join("bob", replica="r2")
    await furnish(world, "ann")
    told = await world.join("ann")
    await world.settled()
    assert (told["you"]["position"]["x"], told["you"]["avatar_data"], told["you"]["voice"]["enabled"]) == (1, HAT, True)
    for snapshot in (told, await late(world, "late", "r2")):
        assert chairs(snapshot) == [("chair", world.sid("ann"))]


async def test_a_stranger_takes_nothing_over(world: World) -> None:
    await furnish(world, "ann")
    await world.drop("ann")
    told = await world.join("nil", person=stranger("ann"))
    assert (told["you"]["position"]["x"], told["you"]["avatar_data"], told["you"]["voice"]) == (0, None, None)
    assert await code_of(world.tell_of("nil", "remove", "chair")) == "forbidden"


@pytest.mark.parametrize("replica", ["r1", "r2"])
async def test_two_tabs_that_break_and_come_back_are_never_more_than_two_people(world: World, replica: str) -> None:
    await world.join("bob", replica="r2")
    for name in ("one", "two"):
        await world.join(name, as_name="ann", replica="r1")
        await world.spawn(name, f"chair of {name}")
    for name in ("one", "two"):
        await world.drop(name)
    for name in ("three", "four"):
        await world.join(name, as_name="ann", replica=replica)
    await world.settled()
    shown, most = set[str](), 0
    for event, payload in world.all_heard_by("bob"):
        if event == "user-joined":
            shown.add(payload["socketId"])
        elif event == "user-left":
            shown.discard(payload["socketId"])
        most = max(most, len(shown))
    assert (most, shown) == (2, {world.sid("three"), world.sid("four")})
    snapshot = await late(world, "late")
    assert {name for name, _ in chairs(snapshot)} == {"chair of one", "chair of two"}
    assert {owner for _, owner in chairs(snapshot)} <= shown


async def test_a_return_that_fails_half_way_loses_nothing(world: World) -> None:
    await world.join("bob", replica="r2")
    await furnish(world, "ann")
    await world.drop("ann")
    world.store.failures[chat.snapshot.name] = 1
    assert await code_of(world.join("ann2", as_name="ann", replica="r2")) == "unavailable"
    told = await world.join("ann2")
    assert [name for name, _ in chairs(told)] == ["chair"]
    assert (told["you"]["position"]["x"], told["you"]["avatar_data"]) == (1, HAT)


async def test_networked_aframe_is_never_told_of_more_occupants_than_there_are_people(world: World) -> None:
    await world.join_room("bob", replica="r2")
    for name in ("one", "two"):
        await world.join_room(name, as_name="ann")
    await world.settled()
    for name in ("one", "two"):
        await world.drop(name)
    for name in ("three", "four"):
        await world.join_room(name, as_name="ann", replica="r2")
    everybody = {world.sid(name) for name in ("bob", "three", "four")}
    await eventually(lambda: occupants(world, "bob")[-1] == everybody, PATIENCE)
    assert max(map(len, occupants(world, "bob"))) == 3


def occupants(world: World, name: str) -> list[set[str]]:
    return [set(told["occupants"]) for told in world.heard_by(name, "occupantsChanged")]
