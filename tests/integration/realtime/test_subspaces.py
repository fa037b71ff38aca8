"""Subspaces of a space: bounded in number, and gone with their last member."""

import pytest

from libs.common.contracts.presence import AframeUpdate, Position
from libs.common.errors import SPACE_FULL, PresenceError
from services.realtime.space import held_space
from tests.integration.realtime.world import World


async def test_a_space_has_a_bounded_number_of_open_subspaces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_space, "MOST_SUBSPACES", 2)
    await world.join("ann", "attic")
    await world.join("bob", "cellar", replica="r2")
    await world.join("cat", "attic")
    with pytest.raises(PresenceError) as raised:
        await world.join("dan", "garden")
    assert raised.value.kind is SPACE_FULL
    assert set(await world.members()) == {"ann", "bob", "cat"}
    await world.leave("bob")
    await world.join("dan", "garden")


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
