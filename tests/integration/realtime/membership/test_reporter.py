"""What spaces_auth hears of stays: each join once, a heartbeat while it lasts, and its end once."""

from libs.common.contracts.presence import AframeUpdate, Position
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


async def test_a_heartbeat_says_where_its_member_stands_as_what_and_with_what_voice(world: World) -> None:
    await world.join("ann", avatar={"colour": "teal"})
    await world.move_and_tell("ann", AframeUpdate(position=Position(1.5, 0, -2)))
    await world.speak("ann")
    await world.heartbeats()
    joined, beat = await world.changes()
    assert (joined.position, joined.avatar_data, joined.voice) == (
        {"x": 0.0, "y": 0.0, "z": 0.0},
        {"colour": "teal"},
        None,
    )
    assert (beat.position, beat.avatar_data) == ({"x": 1.5, "y": 0.0, "z": -2.0}, {"colour": "teal"})
    assert beat.voice is not None
    assert beat.voice["enabled"]


async def test_an_avatar_that_no_database_keeps_stands_in_nobodys_way(world: World) -> None:
    await world.join("ann", avatar={"name": "a\x00b"})
    assert [change.avatar_data for change in await world.changes()] == [None]
