"""A rejoin with `after_seq`: what was missed comes again, within bounds; beyond them the snapshot is the truth."""

from datetime import timedelta
from typing import Any

import pytest

from libs.common.contracts import log
from services.realtime.space import event_feed
from tests.integration.realtime.people import guest
from tests.integration.realtime.world import World

EVENTS_SINCE = log.events_since.name


async def came_back(world: World, after_seq: int, **connection: Any) -> tuple[bool, list[int]]:
    """What somebody is told who comes back after `after_seq`: whether there is a gap, and the events sent again."""
    snapshot = await world.join("ann", after_seq=after_seq, **connection)
    assert snapshot["gap"] is world.heard_by("ann", "space-joined")[-1]["gap"]
    await world.settled()
    return snapshot["gap"], world.seqs_heard_by("ann")


async def test_a_rejoin_is_sent_what_it_missed_once_and_in_order(world: World) -> None:
    await world.join("present")
    await world.publish(*world.write(5))
    assert await came_back(world, 2) == (False, [3, 4, 5])


async def test_a_rejoin_that_missed_nothing_is_sent_nothing_and_the_log_is_not_read(world: World) -> None:
    world.write(5)
    assert await came_back(world, 5) == (False, [])
    assert world.store.asked[EVENTS_SINCE] == 0


async def test_a_rejoin_is_sent_the_events_of_its_subspace_and_of_the_whole_space(world: World) -> None:
    for subspace in ("main", "elsewhere", None, "main"):
        world.write(subspace=subspace)
    assert await came_back(world, 0) == (False, [1, 3, 4])


async def test_more_missed_than_the_bound_is_a_gap_that_reads_nothing_of_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MOST_REPLAYED", 3)
    world.write(5)
    assert await came_back(world, 1) == (True, [])
    assert world.store.asked[EVENTS_SINCE] == 0
    await world.leave("ann")
    assert await came_back(world, 2) == (False, [3, 4, 5])


async def test_words_older_than_retention_are_not_said_again(world: World) -> None:
    events = world.write(3)
    world.store.age(events[1], by=event_feed.MOST_REPLAYED_AGE + timedelta(hours=1))
    assert await came_back(world, 0) == (True, [])
    await world.leave("ann")
    assert await came_back(world, 2) == (False, [3])


async def test_an_event_that_the_log_has_forgotten_is_a_gap(world: World) -> None:
    events = world.write(3)
    world.store.forget(events[0])
    assert await came_back(world, 0) == (True, [])


async def test_beyond_the_budget_of_an_account_or_address_the_snapshot_alone_is_sent(world: World) -> None:
    world.write(5)
    world.connect("ann")
    world.limit_replays("ann", 4)
    assert await came_back(world, 0) == (True, [])
    assert world.store.asked[EVENTS_SINCE] == 0


async def test_the_ack_counts_what_the_snapshot_holds(world: World) -> None:
    world.write(2)
    await world.join("bob")
    snapshot = await world.join("ann")
    assert snapshot["counts"] == {"users": 1, "entities": 0, "messages": 2}
    assert [user["userAccount"] for user in snapshot["users"]] == ["bob"]


async def test_a_long_replay_does_not_count_as_unread(world: World) -> None:
    await world.join("present")
    await world.publish(*world.write(40, pad=4000))
    await world.settled()
    world.connect("ann", person=guest("ann"), reads=False)
    await world.join("ann", after_seq=0)
    await world.publish(*world.write(1))
    await world.settled()
    assert not world.is_dropped("ann")
    assert len(world.seqs_heard_by("ann")) == 41
