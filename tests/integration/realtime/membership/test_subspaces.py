"""Subspaces of a space: bounded in number, and gone with their last member."""

import msgspec
import pytest

from libs.common.contracts.presence import AframeUpdate, Position
from services.realtime.cluster.messages import Poses, PoseWire
from services.realtime.space import held_space
from tests.integration.realtime.people import code_of
from tests.integration.realtime.world import World


async def test_a_space_has_a_bounded_number_of_open_subspaces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_space, "MOST_SUBSPACES", 2)
    await world.join("ann", "attic")
    await world.join("bob", "cellar", replica="r2")
    await world.join("cat", "attic")
    assert await code_of(world.join("dan", "garden")) == "space_full"
    assert set(await world.members()) == {"ann", "bob", "cat"}
    await world.leave("bob")
    await world.join("dan", "garden")


async def test_the_main_subspace_and_moderators_are_let_in_however_many_are_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_space, "MOST_SUBSPACES", 1)
    world.store.roles["mona"] = "moderator"
    await world.join("ann", "attic")
    await world.join("mona", "cellar")
    await world.join("dan", "main")
    assert set(await world.members()) == {"ann", "mona", "dan"}


async def test_one_address_opens_a_bounded_number_of_subspaces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_space, "MOST_SUBSPACES_OF_ADDRESS", 2)
    await world.join("ann", "attic", address="198.51.100.1")
    await world.join("bob", "cellar", address="198.51.100.1")
    assert await code_of(world.join("cat", "garden", address="198.51.100.1")) == "rate_limited"
    await world.join("dan", "garden", address="198.51.100.2")
    await world.join("cat", "garden")


async def test_one_who_opens_empty_subspaces_one_after_the_other_is_told_to_wait(world: World) -> None:
    await world.join("zoe")
    await world.join("ann")
    world.limit_opened("ann", 2)
    await world.join("ann", "attic")
    await world.join("ann", "cellar")
    await world.join("ann")
    assert await code_of(world.join("ann", "garden")) == "rate_limited"
    await world.join("dan", "garden")
    await world.join("ann", "garden")


async def test_a_pose_that_its_member_has_overtaken_leaves_nothing_behind(world: World) -> None:
    await world.join("ann")
    await world.say(Poses("outside", "attic", [PoseWire("outside-gone", None, msgspec.Raw(b"{}"))]))
    await world.settled()
    assert world.subspaces_with_poses("r1") == set()


async def test_the_poses_of_a_subspace_go_with_its_last_member(world: World) -> None:
    await world.join("stays", "main")
    for name in ("ann", "bob"):
        await world.join(name, "attic")
        world.move(name, AframeUpdate(Position(1.0)))
    assert world.subspaces_with_poses("r1") == {"attic"}
    await world.leave("ann")
    await world.settled()
    assert world.subspaces_with_poses("r1") == {"attic"}
    await world.leave("bob")
    await world.settled()
    assert world.subspaces_with_poses("r1") == set()
