"""What realtime reports becomes sessions and a log: once, in whatever order it comes and however often."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from libs.common.clock import now
from libs.common.contracts import spaces
from libs.common.contracts.spaces import PresenceChange, RecordPresence
from libs.common.identity import service_identity
from libs.common.ids import new_id
from tests.integration.spaces_auth.world import World
from tests.support.waiting import eventually

SEEDS_QUERY = """SELECT space_type, space_id, COUNT(*) as users FROM presence_sessions
                 WHERE last_activity > NOW() - INTERVAL '5 minutes' GROUP BY space_type, space_id"""
START = now().replace(microsecond=0)


def change(kind: str, session_id: str, seconds: float = 0, **changes: Any) -> PresenceChange:
    made = PresenceChange(
        session_id, kind, "post", "bob/sculpture-hall", "main", f"socket-{session_id[-4:]}", "r1", "dave", None, "dave",
        START + timedelta(seconds=seconds),
    )  # fmt: skip
    return replace(made, **changes)


def of_guest(one: PresenceChange) -> PresenceChange:
    return replace(one, user_account=None, guest_id="0192", display_name="Al (guest)")


async def record(world: World, *changes: PresenceChange) -> int:
    reply = await world.call(spaces.record_presence, RecordPresence(list(changes)), service_identity("realtime"))
    return reply.recorded


async def log(world: World) -> list[tuple[str, str, int]]:
    rows = await world.owner.sql("SELECT name, actor, seq FROM event_log ORDER BY space_type, space_id, seq")
    return [(row.name.partition(".")[2], row.actor, row.seq) for row in rows]


async def session(world: World, session_id: str) -> Any:
    (row,) = await world.owner.sql("SELECT * FROM presence_sessions WHERE id = :id", id=session_id)
    return row


async def test_a_visit_is_a_row_and_two_events_of_the_visitor(world: World) -> None:
    one = new_id()
    assert await record(world, change("join", one)) == 1
    assert (await session(world, one)).last_activity == START
    assert await record(world, change("heartbeat", one, 60)) == 0
    assert (await session(world, one)).last_activity == START + timedelta(seconds=60)
    assert await record(world, change("leave", one, 90, reason="disconnected")) == 1
    row = await session(world, one)
    assert (row.joined_at, row.left_at, row.last_activity) == (START, START + timedelta(seconds=90), None)
    assert row.leave_reason == "disconnected"
    assert await log(world) == [("member_joined", "account:dave", 1), ("member_left", "account:dave", 2)]


async def test_a_stay_has_the_state_of_its_last_report(world: World) -> None:
    one = new_id()
    seen = {"position": {"x": 1.0, "y": 0.0, "z": -2.0}, "avatar_data": {"colour": "teal"}, "voice": {"enabled": True}}
    await record(world, change("join", one), change("heartbeat", one, 60, **seen))
    await record(world, change("heartbeat", one, 30, position={"x": 9.0}))
    row = await session(world, one)
    assert {name: getattr(row, name) for name in seen} == seen
    await record(world, change("heartbeat", one, 120, position=seen["position"]))
    (row,) = await world.owner.sql("SELECT * FROM presence_sessions WHERE avatar_data IS NULL AND voice IS NULL")
    assert row.position == seen["position"]


async def test_the_events_say_who_came_and_why_they_went(world: World) -> None:
    one = new_id()
    await record(world, of_guest(change("join", one)), of_guest(change("leave", one, 1, reason="lost")))
    rows = await world.owner.sql("SELECT payload, actor, subspace FROM event_log ORDER BY seq")
    assert [row.actor for row in rows] == ["guest:0192", "guest:0192"]
    visit = {"session_id": one, "user_account": None, "guest": True, "display_name": "Al (guest)", "subspace": "main"}
    assert [row.payload for row in rows] == [{**visit, "reason": None}, {**visit, "reason": "lost"}]
    assert {row.subspace for row in rows} == {"main"}


async def test_a_batch_that_comes_twice_changes_nothing(world: World) -> None:
    one, two = new_id(), new_id()
    batch = [change("join", one), change("join", two), change("leave", one, 5, reason="left")]
    assert await record(world, *batch) == 3
    before = await world.owner.sql("SELECT * FROM presence_sessions ORDER BY id"), await log(world)
    assert await record(world, *batch) == 0
    assert (await world.owner.sql("SELECT * FROM presence_sessions ORDER BY id"), await log(world)) == before


async def test_batches_at_once_are_recorded_once_and_do_not_deadlock(world: World) -> None:
    """A replica that had no answer sends again, and others report the same sessions as lost, in any order."""
    joins = [change("join", new_id(), space_id=f"bob/hall-{n % 3}") for n in range(30)]
    leaves = [replace(join, kind="leave", at=START + timedelta(seconds=1)) for join in joins]

    def shuffled(changes: list[PresenceChange]) -> list[PresenceChange]:
        return random.sample(changes, len(changes))

    assert sum(await asyncio.gather(*(record(world, *shuffled(joins)) for _ in range(8)))) == 30
    assert sum(await asyncio.gather(*(record(world, *shuffled(leaves)) for _ in range(8)))) == 30
    found = await log(world)
    assert len(found) == 60
    assert {seq for _, _, seq in found} == set(range(1, 21))


@pytest.mark.parametrize("late", ["join", "heartbeat"])
async def test_a_stay_that_ended_stays_ended_whatever_comes_late(world: World, late: str) -> None:
    one = new_id()
    await record(world, change("join", one), change("leave", one, 5))
    assert await record(world, change(late, one, 3)) == 0
    assert (await session(world, one)).last_activity is None
    assert await world.owner.sql(SEEDS_QUERY) == []


async def test_a_leave_before_its_join_is_a_whole_visit(world: World) -> None:
    one = new_id()
    assert await record(world, change("leave", one, 5, reason="left")) == 2
    assert await record(world, change("join", one)) == 0
    assert [name for name, _, _ in await log(world)] == ["member_joined", "member_left"]
    assert (await session(world, one)).left_at == START + timedelta(seconds=5)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
async def test_the_order_of_changes_in_one_batch_does_not_matter(world: World, order: tuple[int, ...]) -> None:
    one = new_id()
    changes = [change("join", one), change("heartbeat", one, 2), change("leave", one, 5, reason="left")]
    assert await record(world, *(changes[n] for n in order)) == 2
    assert [name for name, _, _ in await log(world)] == ["member_joined", "member_left"]
    row = await session(world, one)
    assert (row.joined_at, row.left_at, row.last_activity) == (START, START + timedelta(seconds=5), None)


async def test_a_heartbeat_that_comes_late_does_not_turn_the_clock_back(world: World) -> None:
    one = new_id()
    await record(world, change("join", one))
    await record(world, change("heartbeat", one, 120))
    await record(world, change("heartbeat", one, 60))
    assert (await session(world, one)).last_activity == START + timedelta(seconds=120)


async def test_a_heartbeat_of_somebody_unknown_is_their_joining(world: World) -> None:
    assert await record(world, change("heartbeat", new_id())) == 1
    assert [name for name, _, _ in await log(world)] == ["member_joined"]


async def test_an_empty_batch_is_nothing(world: World) -> None:
    assert await record(world) == 0


async def test_the_seeds_monitoring_query_counts_who_is_there(world: World) -> None:
    gone, here, elsewhere, quiet = (new_id() for _ in range(4))
    late = int((now() - START).total_seconds())  # the query counts from the present, which may be long after START
    joins = [
        change("join", gone, late),
        change("join", here, late),
        change("join", elsewhere, late, space_id="bob/other"),
    ]
    await record(world, *joins)
    await record(world, change("join", quiet, late - 600), change("leave", gone, late + 1, reason="left"))
    rows = await world.owner.sql(SEEDS_QUERY)
    assert sorted(tuple(row) for row in rows) == [("post", "bob/other", 1), ("post", "bob/sculpture-hall", 1)]


async def test_joins_and_leaves_become_activity_once(world: World) -> None:
    one = new_id()
    await record(world, change("join", one), of_guest(change("join", new_id())))

    async def recorded() -> Any:
        rows = await world.owner.sql("SELECT activity, user_account, actor, space_id FROM space_activity ORDER BY id")
        return rows if len(rows) == 2 else None

    rows = await eventually(recorded)
    assert {tuple(row) for row in rows} == {
        ("spaces.member_joined", "dave", "account:dave", "bob/sculpture-hall"),
        ("spaces.member_joined", None, "guest:0192", "bob/sculpture-hall"),
    }
    for event in list(world.bus.published):
        await world.bus.publish(event)
    marker = await record(world, change("leave", one, 1))
    assert marker == 1
    await eventually(lambda: world.owner.sql("SELECT 1 FROM space_activity WHERE activity = 'spaces.member_left'"))
    assert len(await world.owner.sql("SELECT 1 FROM space_activity")) == 3
