"""Things: one holder at a time over all replicas, free when the holder goes, and the same for whoever comes when."""

import asyncio
import random
from typing import Any, cast

import pytest

from libs.common import cache
from services.realtime.cluster import thing_scripts
from tests.integration.realtime.people import code_of, stranger
from tests.integration.realtime.world import HALL, PATIENCE, World, running
from tests.support.waiting import eventually

RACES = 1000
HOME_OF_ALL = "198.51.100.251"
STEPS = 300


async def test_of_two_who_reach_for_a_thing_over_two_replicas_exactly_one_holds_it(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.thing("ann", "thing-make", "ball")
    await world.settled()  # the first change of a space's things has replicas read them
    winners = []
    for number in range(RACES):
        racers = ["ann", "bob"] if number % 2 else ["bob", "ann"]
        codes = await asyncio.gather(*(code_of(world.thing(name, "thing-hold", "ball")) for name in racers))
        assert sorted(codes) == ["conflict", "ok"]
        winners.append(world.sid(racers[codes.index("ok")]))
        await world.thing(racers[codes.index("ok")], "thing-release", "ball")
    await world.settled()
    for name in ("ann", "bob"):
        assert [held["holder"] for held in world.heard_by(name, "thing-held")] == winners
        versions = [told["version"] for event, told in world.all_heard_by(name) if event.startswith("thing-")]
        assert versions == sorted(set(versions))
        assert len(world.heard_by(name, "thing-released")) == RACES


async def test_tabs_of_one_person_are_two_who_reach(world: World) -> None:
    await world.join("ann")
    await world.join("tab", replica="r2", as_name="ann")
    await world.thing("ann", "thing-make", "ball")
    reaching = (code_of(world.thing(name, "thing-hold", "ball")) for name in ("ann", "tab"))
    assert sorted(await asyncio.gather(*reaching)) == ["conflict", "ok"]


async def test_a_thing_is_changed_by_its_holder_alone_and_by_anybody_while_it_is_free(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.thing("ann", "thing-make", "ball", state={"at": [0, 1, 0], "colour": "red", "tags": []})
    await world.thing("bob", "thing-set", "ball", state={"at": [3, 1, 0], "colour": None})
    assert await thing(world, "ann", "ball") == {"at": [3, 1, 0], "tags": []}
    held = await world.thing("bob", "thing-hold", "ball")
    assert held["thing"]["state"] == {"at": [3, 1, 0], "tags": []}
    assert held["thing"]["holder"] == world.sid("bob")
    for event in ("thing-hold", "thing-release", "thing-remove"):
        assert await code_of(world.thing("ann", event, "ball")) == "conflict"
    assert await code_of(world.thing("ann", "thing-set", "ball", state={"at": 1})) == "conflict"
    await world.thing("bob", "thing-hold", "ball")
    await world.thing("bob", "thing-release", "ball")
    assert await code_of(world.thing("bob", "thing-remove", "ball")) == "forbidden"
    await world.thing("ann", "thing-remove", "ball")
    await world.settled()
    assert [told["id"] for told in world.heard_by("bob", "thing-removed")] == ["ball"]
    assert await code_of(world.thing("ann", "thing-hold", "ball")) == "not_found"


async def test_who_makes_a_thing_that_is_there_is_told_of_it(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    made = await world.thing("ann", "thing-make", "ball", state={"x": 1}, hold=True)
    again = await world.thing("bob", "thing-make", "ball", state={"x": 2}, hold=True)
    assert again == made
    assert made["thing"]["holder"] == world.sid("ann")
    assert made["thing"]["creator"] == "ann"


async def test_a_change_of_an_older_version_is_refused_and_told_the_newer(world: World) -> None:
    await world.join("ann")
    first = (await world.thing("ann", "thing-make", "count", state={"n": 0}))["thing"]["version"]
    second = (await world.thing("ann", "thing-set", "count", state={"n": 1}, version=first))["version"]
    assert second > first
    assert await code_of(world.thing("ann", "thing-set", "count", state={"n": 1}, version=first)) == "conflict"
    assert await thing(world, "ann", "count") == {"n": 1}


async def test_a_members_changes_keep_their_order(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.thing("ann", "thing-make", "ball", hold=True)
    await world.settled()  # or bob may hear of the ball only as it is some changes later
    await asyncio.gather(*(world.thing("ann", "thing-set", "ball", state={"x": x}) for x in range(200)))
    await world.settled()
    assert [told["state"]["x"] for told in world.heard_by("bob", "thing-set")] == list(range(200))


async def test_what_a_leaver_held_is_free_at_once(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.thing("ann", "thing-make", "ball", hold=True)
    await world.leave("ann")
    assert (await world.thing("bob", "thing-hold", "ball"))["thing"]["holder"] == world.sid("bob")
    await world.settled()
    heard = [event for event in world.events_heard_by("bob") if event in ("user-left", "thing-released", "thing-held")]
    assert heard == ["user-left", "thing-released", "thing-held"]


async def test_what_a_killed_holder_held_is_free_within_its_lease(redis_url: str) -> None:
    async with running(redis_url, lease=1.5, beats=True) as world:
        await world.join("bob", replica="r2")
        await world.join("ann")
        await world.thing("ann", "thing-make", "ball", hold=True)
        await world.die("r1")
        await eventually(lambda: world.heard_by("bob", "thing-released") != [], PATIENCE)
        assert world.leaves_heard_by("bob") == [("ann", "lost")]
        assert await code_of(world.thing("bob", "thing-hold", "ball")) == "ok"


async def test_whoever_comes_back_after_a_break_still_holds_what_they_held(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.thing("ann", "thing-make", "ball", hold=True)
    await world.drop("ann")
    assert await code_of(world.thing("bob", "thing-hold", "ball")) == "conflict"
    snapshot = await world.join("ann2", replica="r2", as_name="ann")
    assert [thing["holder"] for thing in snapshot["things"]] == [world.sid("ann2")]
    await world.settled()
    assert [held["holder"] for held in world.heard_by("bob", "thing-held")] == [world.sid("ann2")]
    await world.thing("ann2", "thing-set", "ball", state={"x": 1})


async def test_whoever_goes_to_another_subspace_lets_go(world: World) -> None:
    await world.join("ann")
    await world.join("bob")
    await world.thing("ann", "thing-make", "ball", hold=True)
    await world.join("ann", "stage")
    await world.settled()
    assert len(world.heard_by("bob", "thing-released")) == 1


async def test_things_end_with_the_last_member_of_their_subspace(world: World) -> None:
    await world.join("ann", "stage")
    await world.join("bob", replica="r2")
    await world.thing("ann", "thing-make", "ball", hold=True)
    await world.leave("ann")
    assert (await world.join("late", "stage"))["things"] == []
    counts = await cast("Any", world.redis.hgetall(cache.thing_counts(HALL)))
    assert counts == {}, "nobody pays for what is gone"
    assert not await world.redis.exists(cache.things(HALL), cache.thing_holders(HALL))


@pytest.mark.parametrize("replica", ["r1", "r2", "r3"])
async def test_snapshot_and_events_are_the_new_snapshot(redis_url: str, replica: str) -> None:
    async with running(redis_url, ("r1", "r2", "r3")) as world:
        chance = random.Random(replica)
        models: dict[str, dict[str, Any]] = {}
        people = ["ann", "bob", "cy", "dee"]
        for number, name in enumerate(people):
            models[name] = by_id(await world.join(name, replica=f"r{number % 2 + 1}"))
        for step in range(STEPS):
            await code_of(any_change(world, chance, people))
            if step % 60 == 59:
                name = f"late{step}"
                models[name] = by_id(await world.join(name, replica=replica))
                await world.leave(gone := people.pop(0))
                models.pop(gone)
                people.append(name)
        await world.settled()
        truth = by_id(await world.join("witness", replica=replica))
        assert truth
        for name, model in models.items():
            assert followed(model, world.all_heard_by(name)) == truth, name


def any_change(world: World, chance: random.Random, people: list[str]) -> Any:
    name, id = chance.choice(people), chance.choice("abcdef")
    event = chance.choice(["make", "make", "hold", "set", "set", "set", "release", "remove"])
    fields: dict[str, Any] = {"state": {chance.choice("xyz"): chance.choice([None, 1, [], {}, "é/ü"])}}
    return world.thing(name, f"thing-{event}", id, **(fields if event in ("make", "set") else {}))


def by_id(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {thing["id"]: thing for thing in snapshot["things"]}


def followed(things: dict[str, Any], events: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns what a client makes of its snapshot and of what it heard after it, as docs/frontend.md says."""
    for event, told in events:
        if event == "thing-removed":
            things.pop(told["id"], None)
        elif event == "thing-made":
            things[told["id"]] = told
        elif event == "thing-set":
            state = {**things[told["id"]]["state"], **told["state"]}
            state = {name: value for name, value in state.items() if value is not None}
            things[told["id"]] |= {"state": state, "version": told["version"]}
        elif event in ("thing-held", "thing-released"):
            things[told["id"]] |= told
    return things


async def test_a_replica_that_missed_changes_tells_its_clients_how_things_are(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    for id in ("kept", "gone"):
        await world.thing("ann", "thing-make", id)
    await world.settled()
    await world.redis_goes_away("r2")
    await world.thing("ann", "thing-set", "kept", state={"x": 1})
    await world.thing("ann", "thing-remove", "gone")
    await world.thing("ann", "thing-make", "new")
    await world.redis_comes_back("r2")
    await eventually(lambda: "new" in followed({}, world.all_heard_by("bob")), PATIENCE)
    await world.settled()
    believed = followed({}, world.all_heard_by("bob"))
    assert {id: thing["state"] for id, thing in believed.items()} == {"kept": {"x": 1}, "new": {}}


async def test_a_replica_that_missed_one_change_finds_it_by_the_next(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.thing("ann", "thing-make", "gone")
    await world.settled()
    await cast("Any", world.redis.hdel(cache.things(HALL), "main:gone"))
    await world.redis.incr(cache.thing_version(HALL))
    await world.thing("ann", "thing-make", "new")
    await world.settled()
    assert set(followed({}, world.all_heard_by("bob"))) == {"new"}


async def test_things_that_redis_lost_are_put_back_in_the_hands_that_held_them(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.thing("ann", "thing-make", "ball", state={"x": 1}, hold=True)
    await world.thing("bob", "thing-make", "cup", hold=True)
    await world.settled()
    await world.redis.flushdb()
    assert await code_of(world.thing("bob", "thing-hold", "ball")) == "unavailable"
    for replica in ("r1", "r2"):
        await world.beat(replica)
    await eventually(lambda: can_set(world, "ann", "ball"), PATIENCE)
    await eventually(lambda: can_set(world, "bob", "cup"), PATIENCE)
    assert await code_of(world.thing("bob", "thing-hold", "ball")) == "conflict"
    assert world.heard_by("bob", "thing-removed") == world.heard_by("ann", "thing-removed") == []


async def can_set(world: World, name: str, id: str) -> bool:
    return await code_of(world.thing(name, "thing-set", id, state={"y": 2})) == "ok"


# Who may, and how much.


async def test_muted_members_say_nothing_in_things_and_a_closed_channel_takes_none(world: World) -> None:
    await world.join("ann")
    await world.thing("ann", "thing-make", "ball")
    world.may("ann", muted=True)
    assert await code_of(world.thing("ann", "thing-set", "ball", state={"text": "rude"})) == "muted"
    assert await code_of(world.thing("ann", "thing-make", "rude")) == "muted"
    assert await code_of(world.thing("ann", "thing-hold", "ball")) == "ok"
    closed = {"settings": {"closed_channels": ["things"]}}
    world.may("ann", muted=False, role="visitor", settings=closed)
    for event in ("make", "hold", "set"):
        fields: dict[str, Any] = {} if event == "hold" else {"state": {}}
        assert await code_of(world.thing("ann", f"thing-{event}", "ball", **fields)) == "forbidden"
    assert await code_of(world.thing("ann", "thing-release", "ball")) == "ok"
    assert await code_of(world.thing("ann", "thing-remove", "ball")) == "ok"


async def test_who_moderates_takes_a_thing_out_of_any_hand(world: World) -> None:
    await world.join("ann")
    await world.join("mod")
    world.may("ann", role="visitor")
    world.may("mod", role="moderator")
    await world.thing("ann", "thing-make", "ball", hold=True)
    assert await code_of(world.thing("mod", "thing-hold", "ball")) == "conflict"
    await world.thing("mod", "thing-release", "ball")
    await world.thing("ann", "thing-hold", "ball")
    await world.thing("mod", "thing-remove", "ball")


@pytest.mark.parametrize("whose", ["socket", "account", "address", "space"])
async def test_things_are_bounded_by_number(world: World, whose: str) -> None:
    make = thing_scripts.MAX_OF_SOCKET
    tabs = {"socket": 1, "account": 2, "address": 4, "space": 32}[whose]
    for tab in range(tabs + 1):
        name = f"tab-{tab}" if tab < tabs or whose != "socket" else "tab-0"
        address = {"address": HOME_OF_ALL}.get(whose, f"198.51.100.{tab}")
        as_name = "ann" if whose == "account" else name
        await world.join(name, replica=f"r{tab % 2 + 1}", as_name=as_name, address=address)
        world.may(name, role="visitor")
        most = make if tab < tabs else 0
        most = min(most, thing_scripts.MAX_IN_SPACE - tab * make)
        await asyncio.gather(*(world.thing(name, "thing-make", f"{tab}-{n}") for n in range(most)))
    assert await code_of(world.thing(name, "thing-make", "one more")) == "conflict"
    await world.join("other", address="198.51.100.250")
    world.may("other", role="moderator" if whose == "space" else "visitor")
    await world.thing("other", "thing-make", "one more")


async def test_things_are_bounded_by_bytes(world: World) -> None:
    await world.join("ann")
    world.may("ann", role="visitor")
    assert await code_of(world.thing("ann", "thing-make", "ball", state={"text": "x" * 4096})) == "invalid_input"
    most = thing_scripts.MAX_BYTES_OF_SOCKET // 4000
    for number in range(most):
        await world.thing("ann", "thing-make", f"big {number}", state={"text": "x" * 3990})
    await world.thing("ann", "thing-make", "small", state={"text": ""})
    assert await code_of(world.thing("ann", "thing-set", "small", state={"text": "x" * 3990})) == "conflict"
    assert await code_of(world.thing("ann", "thing-set", "small", state={"more": "x" * 4090})) == "invalid_input"
    await world.thing("ann", "thing-set", "big 0", state={"text": None})
    await world.thing("ann", "thing-set", "small", state={"text": "x" * 3990})


async def test_hands_are_bounded(world: World) -> None:
    await world.join("ann", person=stranger("ann"))
    for number in range(thing_scripts.MAX_HELD_BY_SOCKET + 1):
        await world.thing("ann", "thing-make", str(number), hold=number < thing_scripts.MAX_HELD_BY_SOCKET)
    assert await code_of(world.thing("ann", "thing-hold", "32")) == "conflict"
    await world.thing("ann", "thing-release", "0")
    await world.thing("ann", "thing-hold", "32")


async def thing(world: World, name: str, id: str) -> Any:
    """Returns a thing's state as somebody who comes now is shown it."""
    witness = f"witness of {name} {len(world.order)}"
    snapshot = await world.join(witness)
    await world.leave(witness)
    return by_id(snapshot)[id]["state"]
