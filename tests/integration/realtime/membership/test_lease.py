"""A replica's lease: renewed while it lives, given back when it stops in order, and swept when it does neither."""

import asyncio
from unittest.mock import AsyncMock, patch

from libs.common.contracts import chat
from libs.common.errors import UNAVAILABLE, PresenceError
from tests.integration.realtime.people import code_of
from tests.integration.realtime.world import HALL, PATIENCE, World, running
from tests.support.waiting import eventually


async def test_a_replica_that_stops_gives_its_lease_back(world: World) -> None:
    await world.join("ann")
    await world.leave("ann")
    await world.stop("r1")
    assert not await world.has_lease("r1")
    assert await world.spaces_to_sweep("r1") == set()


async def test_the_lease_is_not_given_back_while_somebody_is_in_grace(world: World) -> None:
    await world.join("bob", replica="r2")
    await world.join("ann")
    await world.drop("ann")
    await world.stop("r1")
    assert await world.has_lease("r1")
    assert set(await world.members()) == {"ann", "bob"}
    assert world.leaves_heard_by("bob") == [], "ann may come back to another replica"
    await world.lose_lease("r1")
    assert await world.sweep("r2") == {"ann"}, "and if not, she is swept"


async def test_the_lease_is_given_back_once_nobody_is_in_grace_any_more(redis_url: str) -> None:
    async with running(redis_url, grace=0.05) as world:
        await world.join("bob", replica="r2")
        await world.join("ann")
        await world.drop("ann")
        await eventually(lambda: not world.replicas["r1"].keeps_anyone, PATIENCE)
        await world.stop("r1")
        assert not await world.has_lease("r1")


async def test_a_person_in_grace_takes_their_place_over_on_another_replica_after_theirs_stopped(world: World) -> None:
    await world.join("bob", replica="r2")
    await world.join("ann")
    await world.drop("ann")
    await world.stop("r1")
    await world.join("ann2", replica="r2", as_name="ann")
    await world.settled()
    assert world.leaves_heard_by("bob") == [("ann", "replaced")]
    assert set(await world.members()) == {"ann2", "bob"}


async def test_a_living_replica_is_not_swept_and_sweeps_a_dead_one(redis_url: str) -> None:
    async with running(redis_url, lease=1.5, beats=True) as world:
        await world.join("bob", replica="r2")
        await world.join("ann")
        await world.die("r1")
        await eventually(lambda: world.leaves_heard_by("bob") == [("ann", "lost")], PATIENCE)
        assert set(await world.members()) == {"bob"}
        assert await world.has_lease("r2")
        await eventually(lambda: is_swept_and_reported(world, "ann"), PATIENCE)


async def is_swept_and_reported(world: World, name: str) -> bool:
    return ("leave", name, "lost") in await world.reports() and not await world.has_lease("r1")


async def test_a_replica_whose_lease_ran_out_puts_its_members_back_by_itself(redis_url: str) -> None:
    async with running(redis_url, lease=1.5, beats=True) as world:
        await world.join("bob", replica="r2")
        await world.join("ann")
        await world.redis_goes_away("r1")
        await eventually(lambda: world.leaves_heard_by("bob") == [("ann", "lost")], PATIENCE)
        await world.redis_comes_back("r1")
        await eventually(lambda: world.joins_heard_by("bob") == ["ann", "ann"], PATIENCE)
        assert set(await world.members()) == {"ann", "bob"}


async def test_a_member_that_is_swept_while_it_enters_gets_back(world: World) -> None:
    await world.join("bob", replica="r2")
    async with world.store.holding(chat.snapshot) as snapshot:
        joining = asyncio.create_task(world.join("ann"))
        await snapshot.asked()
        await world.lose_lease("r1")
        assert await world.sweep("r2") == {"ann"}
        await world.beat("r1")
        snapshot.release()
        await joining
    await world.settled()
    assert set(await world.members()) == world.replicas["r1"].roster(HALL) == {"ann", "bob"}
    assert world.joins_heard_by("bob") == ["ann", "ann"]


async def test_members_that_could_not_be_put_back_are_put_back_at_the_next_renewal(world: World) -> None:
    await world.join("ann")
    await world.redis.flushdb()
    away = AsyncMock(side_effect=PresenceError(UNAVAILABLE))
    with patch.object(world.replicas["r1"].presence, "missing", away):  # Redis flaps right after the renewal
        assert await code_of(world.beat("r1")) == "unavailable"
    await world.beat("r1")
    assert set(await world.members()) == {"ann"}
