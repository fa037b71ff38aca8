"""A socket that does not read: its snapshot is not held against it, anything much beyond it is."""

import pytest

from libs.common.identity import Identity
from libs.common.spaces import SpaceKey
from services.realtime.rooms.client import MAX_BACKLOG, MAX_GUEST_BACKLOG
from tests.integration.realtime.people import account, code_of, guest
from tests.integration.realtime.world import ELSEWHERE, World
from tests.support.waiting import eventually

EVENT_BYTES = 8 * 1024


async def fill(world: World, unread: int) -> None:
    """Durable events of at least so many bytes, and less than one event more."""
    events = world.write(-(-unread // EVENT_BYTES), pad=EVENT_BYTES)
    for event in events:
        await world.publish(event)
        await world.settled()


async def with_large_snapshot(world: World, name: str, person: Identity, size: int) -> None:
    """Inside, with a snapshot of more than `size` bytes that it has not read."""
    await world.publish(*world.write(10))
    await world.settled()
    world.store.pad = "x" * (size // 10)
    await world.join(name, person=person, reads=False)
    world.store.pad = ""
    assert world.unread_by(name) > size


async def test_a_guests_snapshot_does_not_count_as_unread(world: World) -> None:
    await world.join("ann")
    await with_large_snapshot(world, "gil", guest("gil"), 2 * MAX_GUEST_BACKLOG)
    await fill(world, MAX_GUEST_BACKLOG - 2 * EVENT_BYTES)
    assert not world.is_dropped("gil")
    assert world.seqs_heard_by("gil") == world.seqs_heard_by("ann")[10:] != []


async def test_more_than_the_backlog_beyond_the_snapshot_drops_that_client_only_with_too_slow(world: World) -> None:
    await world.join("ann")
    await with_large_snapshot(world, "gil", guest("gil"), 2 * MAX_GUEST_BACKLOG)
    await world.join("cy", reads=False)  # an account may leave more unread
    await fill(world, MAX_GUEST_BACKLOG + 2 * EVENT_BYTES)
    assert world.is_dropped("gil")
    assert [error["code"] for error in world.heard_by("gil", "space-error")] == ["too_slow"]
    assert not world.is_dropped("ann")
    assert not world.is_dropped("cy")
    assert world.seqs_heard_by("ann")[10:] == world.seqs_heard_by("cy")
    assert len(world.seqs_heard_by("gil")) < len(world.seqs_heard_by("cy"))


async def test_an_account_may_leave_more_unread_than_a_guest_and_not_without_end(world: World) -> None:
    await world.join("ann")
    await world.join("cy", person=account("cy"), reads=False)
    await world.publish(*world.write(1, pad=MAX_BACKLOG))
    await fill(world, 3 * EVENT_BYTES)
    assert world.is_dropped("cy")
    assert not world.is_dropped("ann")


async def test_a_snapshot_that_was_read_makes_room_for_nothing_more(world: World) -> None:
    await world.join("ann")
    await with_large_snapshot(world, "gil", guest("gil"), 4 * MAX_GUEST_BACKLOG)
    world.read_all("gil")
    await fill(world, EVENT_BYTES)
    world.stop_reading("gil")
    await fill(world, MAX_GUEST_BACKLOG + 2 * EVENT_BYTES)
    assert world.is_dropped("gil")


RELAYED = 40 * 1024  # bytes


@pytest.mark.parametrize("replica", ["r1", "r2"])
@pytest.mark.parametrize("to", [None, "gil"], ids=["to all", "to one"])
async def test_what_one_sender_has_a_client_leave_unread_costs_the_sender_and_not_the_client(
    world: World, replica: str, to: str | None
) -> None:
    await world.join("ann", replica=replica)
    world.limit_relayed("ann", rate=MAX_BACKLOG)
    await world.join("gil", person=guest("gil"), reads=False)
    for _ in range(8):
        world.relay("ann", RELAYED, to)
        await world.settled()
    assert not world.is_dropped("gil")
    assert world.unread_by("gil") < MAX_GUEST_BACKLOG + 2 * RELAYED, "the rest was left out"
    await eventually(lambda: not world.may_relay("ann"))
    await world.publish(*world.write(1))
    await world.settled()
    assert len(world.seqs_heard_by("gil")) == 1, "what others say still arrives"


@pytest.mark.parametrize("replica", ["r1", "r2"])
async def test_a_slow_client_is_spared_what_passes_and_not_what_lasts(world: World, replica: str) -> None:
    await world.join_room("ann", replica=replica)
    world.limit_relayed("ann", rate=MAX_BACKLOG)
    await world.join_room("gil", person=guest("gil"), reads=False)
    await world.spawn("ann", "ball")
    for _ in range(4):
        world.relay("ann", RELAYED)
        await world.settled()
    await world.tell_of("ann", "remove", "ball")
    await world.naf("ann", "r", networkId="cube")
    await world.settled()
    heard = [event["name"] for event in world.heard_by("gil", "entity-event")]
    assert (heard.count("wave") < 4, heard[0], heard[-1]) == (True, "spawn", "remove")
    assert [packet["type"] for packet in world.heard_by("gil", "broadcast")] == ["r"]
    assert not world.is_dropped("gil")


async def test_who_reads_nothing_of_anybody_is_dropped_whoever_made_it(world: World) -> None:
    await world.join("ann")
    await world.join("gil", person=guest("gil"), reads=False)
    for _ in range(4):
        world.relay("ann", RELAYED)
        await world.settled()
    await fill(world, 2 * MAX_GUEST_BACKLOG)
    assert world.is_dropped("gil")


async def test_a_slow_line_costs_no_sender_anything_that_says_little(world: World) -> None:
    await world.join("ann")
    world.limit_relayed("ann", rate=MAX_BACKLOG)
    await world.join("gil", person=guest("gil"), reads=False)
    await fill(world, MAX_GUEST_BACKLOG - RELAYED)
    for _ in range(3):
        world.relay("ann", RELAYED // 2)
        await world.settled()
    assert world.may_relay("ann")


async def test_one_who_opens_empty_spaces_one_after_the_other_is_told_to_wait(world: World) -> None:
    await world.join("ann")
    world.limit_opened("ann", spaces=1)
    await world.join("ann", space=ELSEWHERE)
    assert await code_of(world.join("ann", space=SpaceKey("event", "third"))) == "rate_limited"
    await world.join("bob", space=ELSEWHERE)
    await world.leave("ann")
    await world.join("ann", space=ELSEWHERE)


async def test_who_moderates_opens_as_many_spaces_as_need_be(world: World) -> None:
    world.store.roles["mona"] = "moderator"
    await world.join("mona")
    world.limit_opened("mona", spaces=1)
    for number in range(3):
        assert (await world.join("mona", space=SpaceKey("event", f"round-{number}")))["role"] == "moderator"
