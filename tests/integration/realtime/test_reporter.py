"""What spaces_auth hears of stays: each join once, a heartbeat while it lasts, and its end once."""

from tests.integration.realtime.world import World


async def test_a_heartbeat_is_sent_for_those_inside_and_for_nobody_who_left(world: World) -> None:
    for name in ("ann", "bob"):
        await world.join(name)
    await world.leave("bob")
    assert await world.heartbeats() == ["ann"]


async def test_a_stay_that_ended_is_reported_once(world: World) -> None:
    await world.join("ann")
    await world.join("ann", "attic")
    await world.leave("ann")
    await world.leave("ann")
    kinds = [kind for kind, _, _ in await world.reports()]
    assert (kinds.count("join"), kinds.count("leave")) == (2, 2)
