"""Spawned entities: bounded by who spawns, shown as they are now, and the same everywhere after Redis was away."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec
import pytest

from libs.common import cache
from libs.common.contracts.presence import AframeUpdate, EntityEventOut, Position
from services.realtime.cluster.messages import FromMember
from tests.integration.realtime.people import code_of, stranger
from tests.integration.realtime.world import HALL, PATIENCE, World, running
from tests.support.waiting import eventually


async def test_the_sockets_of_an_account_share_a_bound_on_entities(world: World) -> None:
    for number in range(3):
        await world.join(f"tab-{number}", as_name="ann", address=f"198.51.100.{number}")
        for entity in range(64 if number < 2 else 0):
            await world.spawn(f"tab-{number}", f"{number}-{entity}")
    assert await code_of(world.spawn("tab-2", "one-more")) == "conflict"
    await world.join("bob", address="198.51.100.0")
    await world.spawn("bob", "his")


async def test_the_sockets_of_an_address_share_a_bound_on_entities(world: World) -> None:
    for number in range(5):
        await world.join(f"guest-{number}", address="198.51.100.7")
        for entity in range(64 if number < 4 else 0):
            await world.spawn(f"guest-{number}", f"{number}-{entity}")
    assert await code_of(world.spawn("guest-4", "one-more")) == "conflict"
    await world.join("bob", address="198.51.100.8")
    await world.spawn("bob", "his")


# As they are now, for whoever comes later.


async def late(world: World, replica: str) -> dict[str, dict[str, Any]]:
    """Returns what somebody who comes now is shown, by id; they go again."""
    name = f"late at {replica}"
    snapshot = await world.join(name, replica=replica)
    await world.leave(name)
    return {event["data"]["id"]: event["data"] for event in snapshot["entities"]}


@pytest.mark.parametrize("replica", ["r1", "r2"])
async def test_a_late_joiner_is_shown_an_entity_where_its_owner_moved_it(world: World, replica: str) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.settled()
    await world.spawn("ann", "by event", position={"x": 0})
    await world.spawn("ann", "by pose", position={"x": 0}, colour="red")
    await world.tell_of("ann", "moved", "by event", position={"x": 5})
    await world.move_and_tell("ann", AframeUpdate(Position(), entities={"by pose": {"position": {"x": 7}}}))
    await world.settled()
    shown = await late(world, replica)
    assert shown["by event"]["position"] == {"x": 5}
    assert shown["by pose"] == {"id": "by pose", "position": {"x": 7}, "colour": "red"}


@pytest.mark.parametrize("replica", ["r1", "r2"])
async def test_of_a_pose_and_an_event_about_an_entity_the_later_holds(world: World, replica: str) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.settled()
    await world.spawn("ann", "ball", x=0)
    await world.move_and_tell("ann", AframeUpdate(Position(), entities={"ball": {"x": 1}, "other": {"x": 1}}))
    await world.tell_of("ann", "moved", "ball", x=2)
    await world.settled()
    assert (await late(world, replica))["ball"]["x"] == 2
    assert world.pose_at(replica, "ann")["entities"] == {"other": {"x": 1}}, "and no pose says otherwise afterwards"
    world.move("ann", AframeUpdate(entities={"ball": {"x": 3}}))
    await eventually(lambda: "ball" in world.pose_at(replica, "ann")["entities"], PATIENCE)
    assert (await late(world, replica))["ball"]["x"] == 3


async def test_a_replica_that_comes_later_shows_entities_as_they_are(world: World) -> None:
    await world.join("ann")
    await world.spawn("ann", "ball", x=0)
    await world.spawn("ann", "cube", x=0)
    await world.tell_of("ann", "moved", "ball", x=5)
    world.move("ann", AframeUpdate(Position(3.0), entities={"cube": {"x": 7}}))
    await world.spawn("ann", "gone")
    await world.tell_of("ann", "remove", "gone")
    await eventually(lambda: stored_as(world, {"main:ball": 5, "main:cube": 0}), PATIENCE)
    snapshot = await world.join("bob", replica="r2")
    assert {told["data"]["id"]: told["data"]["x"] for told in snapshot["entities"]} == {"ball": 5, "cube": 7}
    assert [user["position"]["x"] for user in snapshot["users"]] == [3.0]


async def stored_as(world: World, expected: Mapping[str, int | None]) -> bool:
    stored = await world.replicas["r1"].presence.entities.read(HALL)
    return {name: msgspec.json.decode(entity.event.data).get("x") for name, entity in stored.items()} == expected


# After Redis was away, those inside are told what they missed.


@pytest.mark.parametrize("away", ["r1", "r2"])
async def test_what_changed_while_redis_was_away_is_told_when_it_is_back(world: World, away: str) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    for name in ("ball", "cube"):
        await world.spawn("ann", name, x=0)
    await world.settled()
    await world.redis_goes_away(away)
    await world.spawn("ann", "cone")
    await world.tell_of("ann", "remove", "cube")
    await world.tell_of("ann", "moved", "ball", x=5)
    await world.redis_comes_back(away)
    await eventually(lambda: model(world, "bob") == {"ball": 5, "cone": None}, PATIENCE)
    for replica in ("r1", "r2"):
        assert set(await late(world, replica)) == {"ball", "cone"}


async def test_a_removal_by_ones_other_tab_while_redis_was_away_holds(world: World) -> None:
    await world.join("ann")
    await world.join("tab", as_name="ann", replica="r2")
    await world.spawn("ann", "ball")
    await world.settled()
    await world.redis_goes_away("r2")
    await world.tell_of("tab", "remove", "ball")
    await world.redis_comes_back("r2")
    await eventually(lambda: [event["name"] for event in world.heard_by("ann", "entity-event")] == ["remove"], PATIENCE)
    for replica in ("r1", "r2"):
        assert await late(world, replica) == {}


async def test_what_ones_other_tab_removed_is_not_put_back_by_a_replica_that_was_swept(world: World) -> None:
    await world.join("ann")
    await world.join("tab", as_name="ann", replica="r2")
    for name in ("ball", "cube"):
        await world.spawn("ann", name)
    await world.settled()
    await world.redis_goes_away("r1")
    await world.lose_lease("r1")
    await world.sweep("r2")
    await world.tell_of("tab", "remove", "ball")
    await world.redis_comes_back("r1")
    await world.beat("r1")
    await eventually(lambda: stored_as(world, {"main:cube": None}), PATIENCE)
    await eventually(lambda: "ball" in removed(world, "ann"), PATIENCE)
    for replica in ("r1", "r2"):
        assert set(await late(world, replica)) == {"cube"}


def removed(world: World, name: str) -> list[str]:
    return [event["data"]["id"] for event in world.heard_by(name, "entity-event") if event["name"] == "remove"]


async def test_entities_that_redis_lost_are_put_back_with_their_owners(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.spawn("ann", "ball", x=1)
    await world.settled()
    await world.redis.flushdb()
    for replica in ("r1", "r2"):
        await world.beat(replica)
    await eventually(lambda: stored_as(world, {"main:ball": 1}), PATIENCE)
    assert set(await late(world, "r2")) == {"ball"}


def model(world: World, name: str) -> dict[str, Any]:
    """Returns what somebody believes of entities, having heard all: `x` by id."""
    known: dict[str, dict[str, Any]] = {}
    for event in world.heard_by(name, "entity-event"):
        data = event["data"]
        if event["name"] == "remove":
            known.pop(data["id"], None)
        else:
            known[data["id"]] = {**known.get(data["id"], {}), **data}
    return {entity_id: data.get("x") for entity_id, data in known.items()}


async def test_what_a_replica_of_the_version_before_relays_and_stores_is_shown(redis_url: str) -> None:
    async with running(redis_url, ("r1", "r2", "r3")) as world:
        await world.join("ann")
        await world.join("old", replica="r2", person=stranger("old"))
        sid = world.sid("old")
        event = EntityEventOut(sid, None, "spawn", msgspec.Raw(b'{"id":"relayed"}'))
        await world.say(FromMember("r9", "main", "entity-event", msgspec.Raw(msgspec.json.encode(event)), sid))
        await world.settled()
        assert set(await late(world, "r1")) == {"relayed"}
        event.data = msgspec.Raw(b'{"id":"stored"}')
        stored = msgspec.json.encode({"owner": sid, "subspace": "main", "event": event})
        await cast("Any", world.redis.sadd(cache.entity_owners(HALL), sid))
        await cast("Any", world.redis.hset(cache.entities(HALL, sid), "main:stored", stored))
        assert set(await late(world, "r3")) == {"stored"}
