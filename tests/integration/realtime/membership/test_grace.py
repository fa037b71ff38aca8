"""A connection that broke: its member stays for a while, and its person's next connection takes the place."""

from functools import partial
from typing import Any, cast

from redis.asyncio import Redis

from libs.common import cache
from tests.integration.realtime.people import guest, stranger
from tests.integration.realtime.world import HALL, PATIENCE, World, running
from tests.support.waiting import eventually


async def is_forgotten(redis: Redis) -> bool:
    return not await redis.exists(cache.dropped(HALL))


async def test_a_drop_keeps_the_member_and_nobody_hears_of_it(world: World) -> None:
    await world.join("bob")
    await world.join("ann")
    await world.drop("ann")
    await world.settled()
    assert set(await world.members()) == world.replicas["r1"].roster(HALL) == {"ann", "bob"}
    assert world.leaves_heard_by("bob") == []
    assert [report for report in await world.reports() if report[0] == "leave"] == []


async def test_a_person_who_comes_back_in_time_takes_the_place_of_the_connection_that_broke(world: World) -> None:
    world.store.max_users = 2
    await world.join("bob")
    await world.join("ann")
    await world.drop("ann")
    before = len(world.events_heard_by("bob"))
    await world.join("ann2", replica="r2", as_name="ann")
    await world.settled()
    assert set(await world.members()) == {"ann2", "bob"}
    assert world.events_heard_by("bob")[before:] == ["user-left", "user-joined"], "in one go"
    assert (world.leaves_heard_by("bob"), world.joins_heard_by("bob")) == ([("ann", "replaced")], ["ann", "ann2"])
    assert ("leave", "ann", "replaced") in await world.reports()


async def test_a_guest_with_a_token_takes_their_place_over_too(world: World) -> None:
    await world.join("bob")
    await world.join("gil", person=guest("gil"))
    await world.drop("gil")
    await world.join("gil2", person=guest("gil"))
    await world.settled()
    assert set(await world.members()) == {"gil2", "bob"}
    assert world.leaves_heard_by("bob") == [("gil", "replaced")]


async def test_a_place_that_was_taken_over_is_not_left_when_the_grace_period_ends(redis_url: str) -> None:
    async with running(redis_url, grace=0.2) as world:
        await world.join("bob")
        await world.join("ann")
        await world.join("zoe")
        await world.drop("ann")
        await world.join("ann2", as_name="ann")
        await world.drop("zoe")  # whose period ends later
        await eventually(lambda: world.leaves_heard_by("bob")[-1:] == [("zoe", "disconnected")], PATIENCE)
        assert world.leaves_heard_by("bob") == [("ann", "replaced"), ("zoe", "disconnected")]
        assert set(await world.members()) == {"ann2", "bob"}
        assert [report for report in await world.reports() if report[:2] == ("leave", "ann2")] == []


async def test_who_did_not_come_back_is_not_remembered(redis_url: str) -> None:
    async with running(redis_url, grace=0.1) as world:
        await world.join("bob")
        for name in ("ann", "zoe"):
            await world.join(name)
            await world.drop(name)
        await eventually(lambda: len(world.leaves_heard_by("bob")) == 2, PATIENCE)
        async with Redis.from_url(redis_url) as redis:
            await eventually(partial(is_forgotten, redis), PATIENCE)


async def test_whoever_does_not_come_back_has_left_as_disconnected(redis_url: str) -> None:
    async with running(redis_url, grace=0.1) as world:
        await world.join("bob")
        await world.join("ann")
        await world.drop("ann")
        await eventually(lambda: world.leaves_heard_by("bob") == [("ann", "disconnected")], PATIENCE)
        assert set(await world.members()) == {"bob"}
        assert ("leave", "ann", "disconnected") in await world.reports()


async def test_whoever_comes_back_too_late_is_a_new_member(redis_url: str) -> None:
    async with running(redis_url, grace=0.1) as world:
        await world.join("bob")
        await world.join("ann")
        await world.drop("ann")
        await eventually(lambda: world.leaves_heard_by("bob") == [("ann", "disconnected")], PATIENCE)
        await world.join("ann2", as_name="ann")
        await world.settled()
        assert world.joins_heard_by("bob") == ["ann", "ann2"]
        assert world.leaves_heard_by("bob") == [("ann", "disconnected")]


async def test_a_guest_without_a_token_has_no_grace(world: World) -> None:
    await world.join("bob")
    await world.join("nil", person=stranger("nil"))
    await world.drop("nil")
    await world.settled()
    assert set(await world.members()) == {"bob"}
    assert world.leaves_heard_by("bob") == [("nil", "disconnected")]


async def test_a_space_with_nobody_but_a_broken_connection_is_still_swept(world: World) -> None:
    await world.join("zoe")
    await world.join("ann")
    await world.drop("ann")
    await world.leave("zoe")
    assert world.replicas["r1"].has_left(HALL)
    assert await world.spaces_to_sweep("r1") == {str(HALL)}
    await world.lose_lease("r1")
    assert await world.sweep("r2") == {"ann"}


async def test_whose_connection_broke_while_redis_was_away_is_waited_for_from_its_return_on(world: World) -> None:
    await world.join("bob", replica="r2")
    await world.join("zoe")
    await world.join("ann")
    await world.spawn("ann", "chair")
    await world.settled()
    await world.redis_goes_away("r1")
    await world.drop("ann")
    await world.redis_comes_back("r1")
    await eventually(partial(is_marked, world, "ann"), PATIENCE)
    told = await world.join("ann2", as_name="ann")
    await world.settled()
    assert world.leaves_heard_by("bob") == [("ann", "replaced")]
    assert [event["data"]["id"] for event in told["entities"]] == ["chair"]


async def is_marked(world: World, name: str) -> bool:
    return bool(await cast("Any", world.redis.hexists(cache.dropped(HALL), world.sid(name))))


async def test_a_socket_that_breaks_while_redis_is_away_leaves_when_it_is_back(redis_url: str) -> None:
    async with running(redis_url, grace=0.1) as world:
        await world.join("bob", replica="r2")
        await world.join("ann")
        await world.redis_goes_away("r1")
        await world.drop("ann")
        await world.redis_comes_back("r1")
        await eventually(lambda: world.leaves_heard_by("bob") == [("ann", "disconnected")], PATIENCE)
        assert set(await world.members()) == {"bob"}
