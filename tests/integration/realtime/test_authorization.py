"""Who may enter: an admission where it still holds, a question to spaces_auth everywhere else."""

import asyncio

import pytest

from libs.common import cache
from libs.common.contracts import spaces
from libs.common.spaces import SpaceKey
from libs.common.tokens import Admission
from tests.integration.realtime.people import code_of, guest
from tests.integration.realtime.world import ELSEWHERE, HALL, HOME, World
from tests.support.waiting import eventually

REVIEW = spaces.review.name


async def admission(world: World, address: str = HOME, role: str = "member") -> Admission:
    """Given now, at an address. The replica knows the space's settings, since somebody is in it."""
    await world.join("zoe")
    epoch = await cache.read_epoch(world.redis, HALL)
    world.store.asked.clear()
    return Admission(HALL, "main", role, epoch, address)


async def test_an_admission_opens_the_space_without_a_question(world: World) -> None:
    world.connect("ann", admission=await admission(world, role="moderator"))
    assert (await world.join("ann"))["role"] == "moderator"
    assert world.store.asked[REVIEW] == 0


async def test_an_admission_made_at_one_address_opens_nothing_from_another(world: World) -> None:
    world.connect("ann", admission=await admission(world, address=HOME), address="198.51.100.7")
    world.store.banned.add("ann")
    assert await code_of(world.join("ann")) == "banned"
    assert world.store.asked[REVIEW] == 1
    assert set(await world.members()) == {"zoe"}


async def test_an_admission_from_another_address_is_asked_about_and_may_be_good(world: World) -> None:
    world.connect("ann", admission=await admission(world, role="moderator"), address="198.51.100.7")
    assert (await world.join("ann"))["role"] == "member", "as spaces_auth says now, not as the admission says"
    assert world.store.asked[REVIEW] == 1


async def test_an_ipv6_admission_opens_from_all_of_its_64_bit_prefix_and_from_no_other(world: World) -> None:
    given = await admission(world, address="2001:db8:1:2::/64")
    await world.join("ann", admission=given, address="2001:db8:1:2:ffff::1")
    assert world.store.asked[REVIEW] == 0
    await world.join("bob", admission=given, address="2001:db8:1:3::1")
    assert world.store.asked[REVIEW] == 1


async def test_an_admission_of_an_old_epoch_asks_again(world: World) -> None:
    old = await admission(world)
    await cache.raise_epoch(world.redis, HALL)
    await world.join("bob")  # the replica hears of the new epoch
    world.store.asked.clear()
    world.store.banned.add("ann")
    world.connect("ann", admission=old)
    assert await code_of(world.join("ann")) == "banned"
    assert world.store.asked[REVIEW] == 1


async def test_an_admission_asks_again_whose_epoch_was_raised_and_ended_since(world: World) -> None:
    old = await admission(world)
    await cache.raise_epoch(world.redis, HALL)
    assert await world.redis.expire(cache.epoch(HALL), 0)
    world.store.banned.add("ann")
    world.connect("ann", admission=old)
    assert await code_of(world.join("ann")) == "banned"
    assert world.store.asked[REVIEW] == 1
    assert await cache.read_epoch(world.redis, HALL) > old.epoch


async def test_an_admission_to_one_space_opens_no_other(world: World) -> None:
    world.connect("ann", admission=await admission(world))
    assert await code_of(world.join("ann", space=ELSEWHERE)) == "forbidden"
    assert world.store.asked[REVIEW] == 0


async def test_whoever_is_refused_is_nowhere(world: World) -> None:
    world.store.banned.add("ann")
    assert await code_of(world.join("ann")) == "banned"
    assert (await world.members(), await world.version(), await world.reports()) == ({}, 0, [])
    assert world.replicas["r1"].has_left(HALL)


# The epoch moves between the question and the registration.


@pytest.mark.parametrize("by_admission", [False, True])
async def test_an_epoch_that_moves_before_the_registration_has_the_socket_authorised_anew(
    world: World, by_admission: bool
) -> None:
    await entering_while_the_epoch_moves(world, by_admission=by_admission)
    assert world.is_inside("ann")
    assert world.epoch_of("ann") == await cache.read_epoch(world.redis, HALL)
    assert world.store.asked[REVIEW] == (1 if by_admission else 2)


@pytest.mark.parametrize("by_admission", [False, True])
async def test_who_is_refused_after_the_epoch_moved_was_never_shown(world: World, by_admission: bool) -> None:
    assert await code_of(entering_while_the_epoch_moves(world, by_admission=by_admission, banned=True)) == "banned"
    await world.settled()
    assert set(await world.members()) == {"zoe"}
    assert world.replicas["r1"].roster(HALL) == {"zoe"}
    assert (world.joins_heard_by("zoe"), world.leaves_heard_by("zoe")) == ([], [])
    assert {name for _, name, _ in await world.reports()} == {"zoe"}, "whose joining was not reported has not left"


async def entering_while_the_epoch_moves(world: World, *, by_admission: bool, banned: bool = False) -> None:
    """Ann is authorised; then the epoch moves, with or without a ban of hers; then she is registered."""
    given = await admission(world)
    world.connect("ann", admission=given if by_admission else None)
    if by_admission:
        await cache.raise_epoch(world.redis, HALL)
        world.store.banned |= {"ann"} if banned else set()
        await world.join("ann")
        return
    async with world.store.holding(spaces.review) as review:
        joining = asyncio.create_task(world.join("ann"))
        await review.asked()
        await cache.raise_epoch(world.redis, HALL)
        world.store.banned |= {"ann"} if banned else set()
        review.release()
        await joining


async def test_who_is_muted_while_entering_brings_no_text_along(world: World) -> None:
    await world.join("zoe")
    async with world.store.holding(spaces.review) as review:
        joining = asyncio.create_task(world.join("ann", avatar={"sign": "hello"}))
        await review.asked()
        await cache.raise_epoch(world.redis, HALL)
        review.release()
        world.store.muted.add("ann")
        await joining
    assert (await world.members())["ann"].avatar_data is None


async def test_an_epoch_that_never_comes_to_rest_is_unavailable(world: World) -> None:
    await world.join("zoe")
    real = world.store.epoch_of

    async def another(space: SpaceKey) -> int:
        return await real(space) + 1

    world.store.epoch_of = another
    assert await code_of(world.join("ann")) == "unavailable"
    assert set(await world.members()) == {"zoe"}


# After entering.


async def test_a_socket_that_lost_access_is_told_why_and_taken_out_at_the_next_renewal(world: World) -> None:
    await world.join("ann")
    await world.join("gil", person=guest("gil"))
    world.store.banned.add("gil")
    await cache.raise_epoch(world.redis, HALL)
    await world.beat("r1")
    await eventually(lambda: world.heard_by("gil", "kicked"))
    await eventually(lambda: world.leaves_heard_by("ann") == [("gil", "kicked")])
    assert world.heard_by("gil", "kicked") == [{"reason": "rude", "code": "banned"}]
    assert set(await world.members()) == {"ann"}
