"""Who is in a held space: announcements by version, each member once, and Redis where one was missed."""

import asyncio

from libs.common.contracts import log
from services.realtime.cluster.messages import Arrival, MembersJoined, MembersLeft
from tests.integration.realtime.world import ELSEWHERE, HALL, PATIENCE, World, make_member, running
from tests.support.waiting import eventually


def joined(version: int, name: str) -> MembersJoined:
    member = make_member(name, "r2")
    return MembersJoined(version, [Arrival(member)], member.joined_at)


async def test_a_member_is_announced_once_on_every_replica(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.join("cy", replica="r2")
    await world.leave("bob")
    await world.settled()
    assert world.joins_heard_by("ann") == ["bob", "cy"]
    assert world.joins_heard_by("bob") == ["cy"]
    assert world.leaves_heard_by("ann") == world.leaves_heard_by("cy") == [("bob", "left")]


async def test_a_member_announced_twice_is_announced_to_people_once(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    bob = (await world.members())["bob"]
    await world.join_again(bob)  # a join whose answer was lost, so that it was done again
    await world.settled()
    assert (world.joins_heard_by("ann"), world.leaves_heard_by("ann")) == (["bob"], [])


async def test_a_join_that_was_missed_is_read_from_redis_and_announced(world: World) -> None:
    await world.join("ann")
    await world.join_unheard("bob")
    await world.join("cy", replica="r2")
    await world.settled()
    assert sorted(world.joins_heard_by("ann")) == ["bob", "cy"]


async def test_a_leave_that_was_missed_is_read_from_redis_and_announced(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.leave_unheard("bob")
    await world.join("cy", replica="r2")
    await world.settled()
    assert (world.joins_heard_by("ann"), world.leaves_heard_by("ann")) == (["bob", "cy"], [("bob", "lost")])


async def test_an_announcement_of_an_old_version_is_ignored(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    version = await world.version()
    await world.say(MembersLeft(version, ["r2-bob"], "left", ""))
    await world.say(MembersLeft(version - 1, ["r2-bob"], "left", ""))
    await world.say(joined(version - 1, "ghost"))
    await world.settled()
    assert (world.joins_heard_by("ann"), world.leaves_heard_by("ann")) == (["bob"], [])
    assert world.replicas["r1"].roster(HALL) == {"ann", "bob"}


async def test_a_member_whose_socket_is_here_is_not_removed_by_another_replicas_sweep_and_gets_back(
    world: World,
) -> None:
    await world.join("ann")
    await world.join("bob")
    await world.join("cy", replica="r2")
    await world.lose_lease("r1")
    assert await world.sweep("r2") == {"ann", "bob"}
    await eventually(lambda: sorted(world.leaves_heard_by("cy")) == [("ann", "lost"), ("bob", "lost")], PATIENCE)
    await world.settled()
    assert world.replicas["r1"].roster(HALL) == {"ann", "bob", "cy"}
    await world.beat("r1")
    await world.settled()
    assert set(await world.members()) == {"ann", "bob", "cy"}
    assert sorted(world.joins_heard_by("cy")) == ["ann", "bob"]
    assert (world.joins_heard_by("ann"), world.leaves_heard_by("ann")) == (["bob", "cy"], []), "here nobody flashes"


async def test_a_replica_that_was_cut_off_from_redis_reads_everything_again(world: World) -> None:
    await world.join("ann")
    await world.join("bob", replica="r2")
    await world.redis_goes_away("r1")
    await world.join("cy", replica="r2")
    await world.leave("bob")
    await world.publish(*world.write(2))
    await world.redis_comes_back("r1")
    await eventually(lambda: world.seqs_heard_by("ann") == [1, 2], PATIENCE)
    assert (world.joins_heard_by("ann"), world.leaves_heard_by("ann")) == (["bob", "cy"], [("bob", "lost")])


async def test_nobody_hears_of_members_in_another_subspace(world: World) -> None:
    await world.join("ann", "main")
    await world.join("bob", "attic")
    await world.join("cy", "attic", replica="r2")
    await world.leave("cy")
    await world.settled()
    assert (world.joins_heard_by("ann"), world.leaves_heard_by("ann")) == ([], [])
    assert (world.joins_heard_by("bob"), world.leaves_heard_by("bob")) == (["cy"], [("cy", "left")])


async def test_a_member_who_moves_to_another_subspace_while_the_space_is_busy_is_announced_in_both(
    redis_url: str,
) -> None:
    async with running(redis_url, gap=0.02) as world:
        await world.join("bob", "main")
        await world.join("cy", "attic")
        await world.join("ann", "main")
        await world.join("zoe", space=ELSEWHERE)
        async with world.store.holding(log.events_since) as fetch:  # the space is busy meanwhile
            _lost, second = world.write(2)
            await world.publish(second)
            await fetch.asked()
            moving = asyncio.create_task(world.join("ann", "attic"))
            await eventually(lambda: is_in(world, "ann", "attic"), PATIENCE)
            await world.settled(ELSEWHERE)
        await moving
        await world.settled()
        assert world.joins_heard_by("cy") == ["ann"]
        assert [name for name, _ in world.leaves_heard_by("bob")] == ["ann"]


async def is_in(world: World, name: str, subspace: str) -> bool:
    members = await world.members()
    return name in members and members[name].subspace == subspace
