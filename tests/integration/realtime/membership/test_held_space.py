"""One held space: durable events in order and once, also around entering. Its members are in `test_roster.py`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.contracts import chat, log
from services.realtime.cluster.messages import Logged
from tests.integration.realtime.store import Held
from tests.integration.realtime.world import ELSEWHERE, HALL, PATIENCE, World, running
from tests.support.waiting import eventually

EVENTS_SINCE, SNAPSHOT = log.events_since.name, chat.snapshot.name


async def heard(world: World, name: str, seqs: list[int]) -> None:
    """Waits until the person has heard as many durable events, and compares."""
    await eventually(lambda: len(world.seqs_heard_by(name)) >= len(seqs), PATIENCE)
    await world.settled()
    assert world.seqs_heard_by(name) == seqs


# Durable events.


async def test_events_that_come_out_of_order_are_heard_in_order_of_seq(world: World) -> None:
    await world.join("ann")
    first, second, third, fourth = world.write(4)
    await world.publish(second, fourth, third, first)
    await heard(world, "ann", [1, 2, 3, 4])


async def test_an_event_that_comes_twice_is_heard_once(world: World) -> None:
    await world.join("ann")
    first, second, third = world.write(3)
    await world.publish(first, first, third, third)
    await world.say(Logged([first, second, second]))
    await world.publish(second, third)
    await heard(world, "ann", [1, 2, 3])


async def test_events_of_the_bus_reach_every_replica(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.log(3)
    for name in ("ann", "bob"):
        await heard(world, name, [1, 2, 3])


async def test_a_hole_is_fetched_from_the_log_after_the_gap_time(redis_url: str) -> None:
    async with running(redis_url, gap=0.05) as world:
        await world.join("ann")
        _lost, second, _lost_too, fourth = world.write(4)
        await world.publish(second, fourth)
        await heard(world, "ann", [1, 2, 3, 4])
        assert world.store.asked[EVENTS_SINCE] == 1


async def test_an_event_that_comes_before_its_hole_is_fetched_is_heard_once_and_nothing_is_fetched(
    redis_url: str,
) -> None:
    async with running(redis_url, gap=0.5) as world:
        await world.join("ann")
        first, second, _lost, fourth = world.write(4)
        await world.publish(second, first)
        await heard(world, "ann", [1, 2])
        await world.publish(fourth)  # a fetch for the first hole would come before this one's
        await heard(world, "ann", [1, 2, 3, 4])
        assert world.store.asked[EVENTS_SINCE] == 1


async def test_an_event_that_comes_while_its_hole_is_fetched_is_heard_once(redis_url: str) -> None:
    async with running(redis_url, gap=0.02) as world:
        await world.join("ann")
        first, second = world.write(2)
        async with world.store.holding(log.events_since) as fetch:
            await world.publish(second)
            await fetch.asked()
            await world.publish(first, second)
        await heard(world, "ann", [1, 2])


async def test_a_head_without_its_event_has_the_event_fetched(world: World) -> None:
    await world.join("ann")
    world.write(2)
    world.replicas["r1"].tell_head(HALL, 2)
    await heard(world, "ann", [1, 2])


async def test_a_last_event_that_was_lost_is_found_by_comparing_heads(redis_url: str) -> None:
    async with running(redis_url, heads=0.1) as world:
        await world.join("ann")
        world.write(3)
        await heard(world, "ann", [1, 2, 3])


async def test_a_fetch_that_fails_is_tried_again(redis_url: str) -> None:
    async with running(redis_url, gap=0.02) as world:
        await world.join("ann")
        _lost, second = world.write(2)
        world.store.failures[EVENTS_SINCE] = 1
        await world.publish(second)
        await heard(world, "ann", [1, 2])
        assert world.store.asked[EVENTS_SINCE] == 2


async def test_an_event_of_a_subspace_is_heard_there_and_one_of_the_space_everywhere(world: World) -> None:
    await world.join("ann", "main")
    await world.join("bob", "attic")
    main, attic, everywhere = [world.write(1, subspace)[0] for subspace in ("main", "attic", None)]
    await world.publish(main, attic, everywhere)
    await heard(world, "ann", [1, 3])
    await heard(world, "bob", [2, 3])


# Events while somebody enters.


@asynccontextmanager
async def entering(world: World, name: str, *, answered_late: bool = False) -> AsyncIterator[Held]:
    """Somebody who is a member and waits for chat's answer; inside after the block."""
    async with world.store.holding(chat.snapshot, answered_late=answered_late) as snapshot:
        joining = asyncio.create_task(world.join(name))
        await snapshot.asked()
        yield snapshot
        snapshot.release()
        await joining


async def test_an_event_after_the_snapshot_is_heard_once_by_whoever_is_entering(world: World) -> None:
    await world.join("ann")
    await world.publish(*world.write(1))
    async with entering(world, "bob"):
        await world.publish(*world.write(2))
        await heard(world, "ann", [1, 2, 3])
    await world.publish(*world.write(1))
    await heard(world, "bob", [2, 3, 4])
    events = world.events_heard_by("bob")
    assert events == ["space-joined", *["chat-message"] * 3]
    (snapshot,) = world.heard_by("bob", "space-joined")
    assert (snapshot["seq"], [message["seq"] for message in snapshot["messages"]]) == (1, [1])


async def test_an_event_within_the_snapshot_is_not_heard_again_by_whoever_was_entering(world: World) -> None:
    await world.join("ann")
    async with entering(world, "bob", answered_late=True):
        await world.publish(*world.write(2))
        await heard(world, "ann", [1, 2])
    await world.publish(*world.write(1))
    await heard(world, "bob", [3])
    (snapshot,) = world.heard_by("bob", "space-joined")
    assert (snapshot["seq"], len(snapshot["messages"])) == (2, 2)


async def test_an_event_within_the_snapshot_that_comes_late_is_heard_by_the_others_only(world: World) -> None:
    await world.join("ann")
    late = world.write(2)
    await world.join("bob")
    await world.publish(*late, *world.write(1))
    await heard(world, "ann", [1, 2, 3])
    await heard(world, "bob", [3])


async def test_an_event_of_another_subspace_does_not_reach_whoever_is_entering(world: World) -> None:
    await world.join("ann", "attic")
    async with entering(world, "bob"):
        await world.publish(*world.write(1, "attic"), *world.write(1, "main"))
        await heard(world, "ann", [1])
    await heard(world, "bob", [2])


async def test_whoever_comes_back_hears_what_was_missed_once(world: World) -> None:
    await world.join("ann")
    await world.publish(*world.write(4))
    await world.join("bob", after_seq=2)
    await world.publish(*world.write(1))
    await heard(world, "bob", [3, 4, 5])


async def test_entering_waits_behind_what_those_inside_have_yet_to_hear(redis_url: str) -> None:
    crowd = [f"c{number}" for number in range(8)]
    async with running(redis_url, gap=0.02) as world:
        await world.join("ann")
        await world.join("zoe", space=ELSEWHERE)
        async with world.store.holding(log.events_since) as fetch:  # the space is busy meanwhile
            _lost, second = world.write(2)
            await world.publish(second)
            await fetch.asked()
            joining = [asyncio.create_task(world.join(name)) for name in crowd]
            await eventually(lambda: all_are_members(world, crowd), PATIENCE)
            await world.settled(ELSEWHERE)
            await world.publish(*world.write(1))
            await world.settled(ELSEWHERE)  # on the same connection: the event has arrived
        await asyncio.gather(*joining)
        await heard(world, "ann", [1, 2, 3])
        third = [number for number, entry in enumerate(world.order) if entry == ("ann", "chat-message")][-1]
        before = [name for name, event in world.order[:third] if event == "space-joined" and name in crowd]
        assert len(before) <= 1, "the crowd waits"


async def all_are_members(world: World, names: list[str]) -> bool:
    return set(names) <= set(await world.members())


async def test_an_event_that_the_log_has_lost_holds_nothing_up(world: World) -> None:
    await world.join("ann")
    events = world.write(4)
    world.store.forget(events[1])
    world.replicas["r1"].tell_head(HALL, 4)
    world.replicas["r1"].tell_head(HALL, 4)
    await heard(world, "ann", [1, 3, 4])
