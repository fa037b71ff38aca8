"""Whoever was named to the others hears what they say from then on, after their own snapshot and nothing before it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from libs.common.contracts import chat
from services.realtime.rooms.client import MAX_HELD
from tests.integration.realtime.store import Held
from tests.integration.realtime.world import PATIENCE, World, running
from tests.support.waiting import eventually

EVERYWHERE = [("r1", "r1"), ("r1", "r2"), ("r2", "r1")]


@asynccontextmanager
async def entering(world: World, name: str, replica: str, *, with_naf: bool = False) -> AsyncIterator[Held]:
    """Somebody who was named to the others and is not inside yet; inside after the block."""
    async with world.store.holding(chat.snapshot) as snapshot:
        joining = asyncio.create_task((world.join_room if with_naf else world.join)(name, replica=replica))
        await snapshot.asked()
        await eventually(lambda: name in world.joins_heard_by("ann"), PATIENCE)
        yield snapshot
        await world.settled()
        assert world.all_heard_by(name) == []
        snapshot.release()
        await joining
    await world.settled()


@pytest.mark.parametrize(("of_ann", "of_bob"), EVERYWHERE)
async def test_a_signal_to_a_newcomer_comes_after_its_own_snapshot(world: World, of_ann: str, of_bob: str) -> None:
    await world.join("ann", replica=of_ann)
    async with entering(world, "bob", of_bob):
        await world.signal("ann", "bob", "webrtc-offer")
        await world.signal("ann", "bob", "webrtc-ice-candidate")
    assert world.events_heard_by("bob") == ["space-joined", "webrtc-offer", "webrtc-ice-candidate"]


@pytest.mark.parametrize(("of_ann", "of_bob"), EVERYWHERE)
async def test_what_everybody_is_told_reaches_a_newcomer_in_order_and_once(
    world: World, of_ann: str, of_bob: str
) -> None:
    await world.join("ann", replica=of_ann)
    async with entering(world, "bob", of_bob):
        for number in range(10):
            await world.tell_of("ann", "move", "knight", number=number)
    await world.tell_of("ann", "move", "knight", number=10)
    await world.settled()
    assert [event["data"]["number"] for event in world.heard_by("bob", "entity-event")] == list(range(11))
    assert world.events_heard_by("bob")[0] == "space-joined"


@pytest.mark.parametrize(("of_ann", "of_bob"), EVERYWHERE)
async def test_a_newcomers_snapshot_holds_what_changed_meanwhile_and_it_is_not_said_twice(
    world: World, of_ann: str, of_bob: str
) -> None:
    await world.join("ann", replica=of_ann)
    await world.spawn("ann", "ball")
    await world.spawn("ann", "cube")
    async with entering(world, "bob", of_bob):
        await world.tell_of("ann", "kicked", "ball", x=5)
        await world.tell_of("ann", "remove", "cube")
        await world.spawn("ann", "cone")
    (told,) = world.heard_by("bob", "space-joined")
    assert [event["data"] for event in told["entities"]] == [{"id": "ball", "x": 5}, {"id": "cone"}]
    assert world.heard_by("bob", "entity-event") == []


@pytest.mark.parametrize(("of_ann", "of_bob"), EVERYWHERE)
async def test_networked_aframes_packets_reach_a_newcomer_after_the_occupants(
    world: World, of_ann: str, of_bob: str
) -> None:
    await world.join_room("ann", replica=of_ann)
    async with entering(world, "bob", of_bob, with_naf=True):
        await world.naf("ann", "u", networkId="ball", isFirstSync=True, creator=world.sid("ann"))
        await world.naf("ann", "u", to="bob", networkId="cube", isFirstSync=True, creator=world.sid("ann"))
        for number in range(10):
            await world.naf("ann", "um", d=[{"networkId": "ball", "number": number}])
        await world.naf("ann", "r", networkId="ball")
    heard = [(event, told) for event, told in world.all_heard_by("bob") if event != "user-joined"]
    assert [event for event, _ in heard[:3]] == ["space-joined", "connectSuccess", "occupantsChanged"]
    assert set(heard[2][1]["occupants"]) == {world.sid("ann"), world.sid("bob")}
    packets = [told for event, told in heard if event in ("broadcast", "send")]
    assert [packet["type"] for packet in packets] == ["u", "u", *["um"] * 10, "r"]
    assert [packet["data"]["networkId"] for packet in packets if "networkId" in packet["data"]] == [
        "ball",
        "cube",
        "ball",
    ]


async def test_what_is_held_for_a_newcomer_is_bounded_but_for_what_lasts(world: World) -> None:
    await world.join_room("ann")
    async with entering(world, "bob", "r1", with_naf=True):
        for number in range(MAX_HELD + 10):
            await world.naf("ann", "um", d=[{"number": number}])
        await world.naf("ann", "r", networkId="ball")
    types = [packet["type"] for packet in world.heard_by("bob", "broadcast")]
    assert types == [*["um"] * MAX_HELD, "r"]


async def test_a_removal_while_redis_was_away_reaches_the_other_replicas_later(redis_url: str) -> None:
    async with running(redis_url) as world:
        await world.join_room("ann")
        await world.join_room("bob", replica="r2")
        await world.settled()
        await world.redis_goes_away("r1")
        await world.naf("ann", "r", networkId="ball")
        await world.redis_comes_back("r1")
        await eventually(lambda: removed(world, "bob") == ["ball"], PATIENCE)


async def test_a_removal_that_only_a_listener_missed_is_said_again(redis_url: str) -> None:
    async with running(redis_url) as world:
        await world.join_room("ann")
        await world.join_room("bob", replica="r2")
        await world.settled()
        await world.redis_goes_away("r2")
        await world.naf("ann", "r", networkId="ball")
        await world.redis_comes_back("r2")
        await eventually(lambda: "ball" in removed(world, "bob"), PATIENCE)


def removed(world: World, name: str) -> list[Any]:
    packets = world.heard_by(name, "broadcast")
    return sorted({packet["data"]["networkId"] for packet in packets if packet["type"] == "r"})


async def test_the_removal_of_what_was_made_again_is_not_said_again(redis_url: str) -> None:
    async with running(redis_url) as world:
        await world.join_room("ann")
        await world.join_room("bob", replica="r2")
        await world.settled()
        await world.naf("ann", "r", networkId="ball")
        await world.naf("ann", "u", networkId="ball", isFirstSync=True, creator=world.sid("ann"))
        await world.settled()
        await world.redis_goes_away("r2")
        await world.naf("ann", "r", networkId="cube")
        await world.redis_comes_back("r2")
        await eventually(lambda: "cube" in removed(world, "bob"), PATIENCE)
        packets = [packet for packet in world.heard_by("bob", "broadcast") if packet["data"]["networkId"] == "ball"]
        assert [packet["type"] for packet in packets] == ["r", "u"]
