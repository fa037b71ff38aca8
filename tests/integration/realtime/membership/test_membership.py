"""Entering and leaving as a whole: one place a socket, nothing left of a join that failed, nobody forgotten."""

import asyncio

import pytest

from libs.common.contracts import chat
from tests.integration.realtime.people import code_of, guest
from tests.integration.realtime.world import ELSEWHERE, HALL, PATIENCE, World, running
from tests.support.waiting import eventually


async def test_the_snapshot_holds_everybody_else_and_the_others_hear_of_the_newcomer(world: World) -> None:
    await world.join("ann")
    snapshot = await world.join("bob", replica="r2")
    await world.settled()
    assert snapshot["role"] == "member"
    (told,) = world.heard_by("bob", "space-joined")
    assert [user["userAccount"] for user in told["users"]] == ["ann"]
    assert world.joins_heard_by("ann") == ["bob"]
    assert await world.reports() == [("join", "ann", None), ("join", "bob", None)]


# A full space.


async def test_a_full_space_refuses_a_socket_with_space_full(world: World) -> None:
    world.store.max_users = 2
    await world.join("ann")
    await world.join("gil", "attic", person=guest("gil"), replica="r2")
    assert await code_of(world.join("bob")) == "space_full"
    assert set(await world.members()) == {"ann", "gil"}
    await world.settled()
    assert world.joins_heard_by("ann") == []


@pytest.mark.parametrize(
    ("role", "answer"),
    [("operator", "ok"), ("owner", "ok"), ("moderator", "ok"), ("member", "space_full"), ("guest", "space_full")],
)
async def test_a_full_space_is_open_to_moderators_and_those_above_them(world: World, role: str, answer: str) -> None:
    world.store.max_users = 1
    await world.join("ann")
    world.store.roles["mona"] = role
    assert await code_of(world.join("mona")) == answer


async def test_of_a_crowd_at_once_as_many_come_in_as_there_are_places(world: World) -> None:
    world.store.max_users = 5
    names = [f"n{number}" for number in range(8)]
    joining = [world.join(name, replica=f"r{number % 2 + 1}") for number, name in enumerate(names)]
    codes = await asyncio.gather(*map(code_of, joining))
    assert sorted(codes) == ["ok"] * 5 + ["space_full"] * 3
    assert set(await world.members()) == {name for name, code in zip(names, codes, strict=True) if code == "ok"}


# Joins that fail, that are left, and that meet.


async def test_a_join_that_fails_after_registering_leaves_no_member_and_no_roster_entry(world: World) -> None:
    await world.join("bob", replica="r2")
    world.store.failures[chat.snapshot.name] = 1
    assert await code_of(world.join("ann")) == "unavailable"
    await world.settled()
    assert set(await world.members()) == world.replicas["r2"].roster(HALL) == {"bob"}
    assert world.leaves_heard_by("bob") == [("ann", "left")]
    assert world.replicas["r1"].has_left(HALL)
    reports = [report for report in await world.reports() if report[1] == "ann"]
    assert reports == [("join", "ann", None), ("leave", "ann", "left")]
    assert await code_of(world.join("ann")) == "ok", "and it can try again"


async def test_a_socket_that_drops_during_entering_drops_once_it_is_inside(redis_url: str) -> None:
    async with running(redis_url, grace=0.1) as world:
        await world.join("bob")
        async with world.store.holding(chat.snapshot) as snapshot:
            joining = asyncio.create_task(world.join("ann"))
            await snapshot.asked()
            dropping = asyncio.create_task(world.drop("ann"))
            snapshot.release()
            await asyncio.gather(joining, dropping)
        await eventually(lambda: world.leaves_heard_by("bob") == [("ann", "disconnected")], PATIENCE)
        assert set(await world.members()) == {"bob"}
        assert world.replicas["r1"].roster(HALL) == {"bob"}


async def test_a_socket_that_leaves_during_entering_is_let_in_and_leaves(world: World) -> None:
    await world.join("bob")
    async with world.store.holding(chat.snapshot) as snapshot:
        joining = asyncio.create_task(world.join("ann"))
        await snapshot.asked()
        leaving = asyncio.create_task(world.leave("ann"))
        snapshot.release()
        await asyncio.gather(joining, leaving)
    await world.settled()
    assert (world.joins_heard_by("bob"), world.leaves_heard_by("bob")) == (["ann"], [("ann", "left")])
    assert set(await world.members()) == world.replicas["r1"].roster(HALL) == {"bob"}


async def test_two_joins_of_one_socket_at_once_end_in_the_last_place(world: World) -> None:
    await world.join("bob", "attic")
    world.connect("ann")
    await asyncio.gather(world.join("ann", "main"), world.join("ann", "attic"))
    await world.settled()
    members = await world.members()
    assert {name: member.subspace for name, member in members.items()} == {"bob": "attic", "ann": "attic"}
    assert world.joins_heard_by("bob") == ["ann"]
    await world.publish(*world.write(1, "main"), *world.write(1, "attic"))
    await world.settled()
    assert world.seqs_heard_by("ann") == [2]


async def test_two_joins_of_one_socket_into_one_place_are_one_member_and_each_event_is_heard_once(
    world: World,
) -> None:
    await world.join("bob")
    world.connect("ann")
    await asyncio.gather(world.join("ann"), world.join("ann"))
    await world.publish(*world.write(1))
    await world.settled()
    assert set(await world.members()) == {"ann", "bob"}
    assert (world.joins_heard_by("bob"), world.leaves_heard_by("bob")) == (["ann", "ann"], [("ann", "replaced")])
    assert world.seqs_heard_by("ann") == [1]
    await world.leave("ann")
    assert set(await world.members()) == {"bob"}


async def test_entering_another_space_leaves_the_first(world: World) -> None:
    await world.join("bob")
    await world.join("ann")
    await world.join("ann", space=ELSEWHERE)
    await world.settled()
    assert (set(await world.members()), set(await world.members(ELSEWHERE))) == ({"bob"}, {"ann"})
    assert world.leaves_heard_by("bob") == [("ann", "left")]


async def test_a_space_that_nobody_is_in_is_given_up(world: World) -> None:
    await world.join("ann")
    await world.leave("ann")
    assert world.replicas["r1"].has_left(HALL)
    assert await world.spaces_to_sweep("r1") == set()


# Redis away, and Redis without its memory.


async def test_leaving_while_redis_is_away_is_carried_out_when_it_is_back(world: World) -> None:
    await world.join("bob", replica="r2")
    await world.join("ann")
    await world.redis_goes_away("r1")
    leaving = asyncio.create_task(world.leave("ann"))
    await eventually(lambda: not world.is_inside("ann"), PATIENCE)
    assert set(await world.members()) == {"ann", "bob"}
    assert await world.spaces_to_sweep("r1") == {str(HALL)}, "should this replica die now, others look there"
    await world.redis_comes_back("r1")
    await eventually(lambda: world.leaves_heard_by("bob") == [("ann", "left")], PATIENCE)
    await leaving
    assert set(await world.members()) == {"bob"}
    await eventually(lambda: nothing_to_sweep(world), PATIENCE)


async def nothing_to_sweep(world: World) -> bool:
    return await world.spaces_to_sweep("r1") == set()


async def test_leaving_that_had_to_wait_is_not_carried_out_if_the_socket_came_back(world: World) -> None:
    await world.join("bob", replica="r2")
    await world.join("zoe")
    await world.join("ann")
    with world.leaving_fails("r1"):
        await world.leave("ann")  # it is given up to wait for, and tried on
        await world.join("ann")
    await world.leave("zoe")  # after what had to wait
    await eventually(lambda: ("zoe", "left") in world.leaves_heard_by("bob"), PATIENCE)
    assert world.leaves_heard_by("bob") == [("ann", "replaced"), ("zoe", "left")]
    assert set(await world.members()) == {"ann", "bob"}


async def test_members_that_redis_lost_are_put_back_as_new_stays(world: World) -> None:
    await world.join("ann")
    await world.join("bob", "attic")
    before = await world.members()
    await world.redis.flushdb()
    await world.beat("r1")
    after = await world.members()
    assert {name: member.subspace for name, member in after.items()} == {"ann": "main", "bob": "attic"}
    for name in ("ann", "bob"):
        assert after[name].stay_id != before[name].stay_id
        stays = [(c.kind, c.session_id, c.reason) for c in await world.changes() if c.socket_id == f"r1-{name}"]
        old, new = before[name].stay_id, after[name].stay_id
        assert stays == [("join", old, None), ("leave", old, "lost"), ("join", new, None)]


async def test_members_that_redis_still_has_keep_their_stays(world: World) -> None:
    await world.join("ann")
    await world.join("bob")
    before = await world.members()
    await world.leave_unheard("ann", "r1")
    await world.lose_lease("r1")
    await world.beat("r1")
    after = await world.members()
    assert after["bob"] == before["bob"]
    assert after["ann"].stay_id != before["ann"].stay_id
    assert [report for report in await world.reports() if report[1] == "bob"] == [("join", "bob", None)]


async def test_a_socket_that_is_taken_out_while_it_enters_is_not_let_in(world: World) -> None:
    await world.join("bob")
    async with world.store.holding(chat.snapshot) as snapshot:
        joining = asyncio.create_task(world.join("ann"))
        await snapshot.asked()
        await world.leave("ann", out_of_turn=True)
        snapshot.release()
        assert await code_of(joining) == "forbidden"
    await world.publish(*world.write(1))
    await world.settled()
    assert (world.is_inside("ann"), world.events_heard_by("ann")) == (False, [])
    assert set(await world.members()) == world.replicas["r1"].roster(HALL) == {"bob"}


async def test_a_client_that_enters_again_where_it_is_holds_the_space_once(world: World) -> None:
    await world.join("ann")
    await world.join("ann")
    assert world.holders("r1") == 1
    await world.leave("ann")
    assert world.holders("r1") == 0


async def test_a_client_that_enters_again_where_it_is_hears_nothing_twice(world: World) -> None:
    await world.join("ann")
    await world.publish(*world.write(3))
    await world.settled()
    await world.join("ann", after_seq=1)
    await world.settled()
    assert world.seqs_heard_by("ann") == [1, 2, 3]
