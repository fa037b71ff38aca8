"""Events: who may hold, see and enter them, and who has a place at one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from icalendar import Calendar
from sqlalchemy import text

from libs.common.clock import now
from libs.common.contracts import events, moderation, spaces
from libs.common.contracts.events import CreateEvent, GetEvent, ListEvents, ScheduledEvent, VerifyAccess
from libs.common.contracts.spaces import GetSpace, Join
from libs.common.db.primary_passwords import digest_of
from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.spaces import SpaceKey
from services.spaces_auth.events.event_clock import EventClock
from services.spaces_auth.events.passwords import MOST_WAITING, Passwords
from tests.integration.common.world import caller
from tests.integration.spaces_auth.world import World, fill, running
from tests.support.servers import Servers
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
async def _running(servers: Servers) -> AsyncIterator[World]:
    async with running(await servers.new_database(), servers.new_redis_database(), servers.hive_url) as world:
        await fill(world)
        yield world


@pytest.fixture
async def world(_running: World) -> World:
    """A spaces_auth without an event."""
    await _running.owner.sql("DELETE FROM event_places")
    await _running.owner.sql("DELETE FROM scheduled_events")
    return _running


def in_minutes(minutes: float) -> Any:
    return now() + timedelta(minutes=minutes)


async def hold(world: World, who: str = "alice", **fields: Any) -> ScheduledEvent:
    """Makes an event of an hour that begins in ten minutes, doors open."""
    times = {"starts_at": in_minutes(10), "ends_at": in_minutes(70)}
    return await world.call(events.create_event, CreateEvent(**{"title": "Party", **times, **fields}), who)


async def change(world: World, event: ScheduledEvent, who: str = "alice", **fields: Any) -> ScheduledEvent:
    return await world.call(events.change_event, events.ChangeEvent(event.id, **fields), who)


def space_of(event: ScheduledEvent) -> SpaceKey:
    return SpaceKey("event", event.id)


async def enters(world: World, event: ScheduledEvent, who: str) -> str:
    """Returns `ok` or why not, of REST and of a socket, which must agree."""
    code = await refusal(world.call(spaces.join, Join("event", event.id), who))
    assert await world.entry_code(space_of(event), who) == code
    return code


async def refusal(call: Any) -> str:
    try:
        await call
    except PresenceError as error:
        return error.kind.code
    return "ok"


async def take(world: World, event: ScheduledEvent, who: str) -> tuple[str | None, int | None]:
    place = await world.bus.call(events.take_place, GetEvent(event.id), caller(who), timeout=60)  # a crowd takes turns
    return place.place, place.position


async def test_an_event_that_nobody_holds_does_not_exist(world: World) -> None:
    space = SpaceKey("event", "made-up")
    assert await world.entry_code(space, "alice") == "not_found"
    for operation, request in (
        (spaces.join, Join("event", "made-up")),
        (spaces.get_space, GetSpace("event", "made-up")),
        (moderation.update_settings, moderation.UpdateSettings("event", "made-up", chat_enabled=False)),
        (events.get_event, GetEvent("made-up")),
    ):
        assert await refusal(world.call(operation, request, "olivia")) == "not_found"


async def test_the_host_owns_the_space_of_an_event(world: World) -> None:
    event = await hold(world)
    assert (event.host, event.space_type, event.space_id) == ("alice", "event", event.id)
    assert (await world.call(spaces.join, Join("event", event.id), "alice")).role == "owner"
    assert (await world.call(spaces.join, Join("event", event.id), "dave")).role == "visitor"


async def test_before_the_doors_open_nobody_but_host_and_moderators_enters(world: World) -> None:
    event = await hold(world, starts_at=in_minutes(60), ends_at=in_minutes(120), doors_minutes=5)
    await world.call(moderation.set_role, moderation.SetRole("event", event.id, "mona", "moderator"), "alice")
    assert [await enters(world, event, who) for who in ("alice", "mona", "dave")] == ["ok", "ok", "forbidden"]
    await change(world, event, doors_minutes=60)
    assert await enters(world, event, "dave") == "ok"


async def test_after_its_end_and_the_grace_an_events_space_is_closed(world: World) -> None:
    event = await hold(world)
    await world.owner.sql("UPDATE scheduled_events SET closes_at = now() - interval '1 second'")
    assert [await enters(world, event, who) for who in ("alice", "dave")] == ["ok", "forbidden"]


async def test_an_event_with_a_list_does_not_exist_for_others(world: World) -> None:
    event = await hold(world, access="list", listed=["bob"])
    assert [await enters(world, event, who) for who in ("bob", "dave")] == ["ok", "not_found"]
    assert await refusal(world.call(events.get_event, GetEvent(event.id), "dave")) == "not_found"
    listed = [await world.call(events.list_events, ListEvents(), who) for who in ("bob", "dave", "anonymous")]
    assert [len(page.events) for page in listed] == [1, 0, 0]
    await change(world, event, listed=["dave"])
    assert [await enters(world, event, who) for who in ("bob", "dave")] == ["not_found", "ok"]


async def test_whom_the_primary_lets_in_sees_the_event_in_the_list(world: World) -> None:
    event = await hold(world, access="list")
    await world.owner.sql(
        "INSERT INTO presence_permissions (space_type, space_id, account, permission, row_hash)"
        f" VALUES ('event', '{event.id}', 'dave', 'access', 'x')"
    )
    assert await enters(world, event, "dave") == "ok"
    assert [seen.id for seen in (await world.call(events.list_events, ListEvents(), "dave")).events] == [event.id]


async def test_a_password_lets_an_account_in_and_is_stored_as_a_hash(world: World) -> None:
    event = await hold(world, access="password", password="open sesame")
    assert [await enters(world, event, who) for who in ("alice", "dave")] == ["ok", "forbidden"]
    assert not (await world.call(events.verify_access, VerifyAccess(event.id, "open barley"), "dave")).hasAccess
    assert (await world.call(events.verify_access, VerifyAccess(event.id, "open sesame"), "dave")).hasAccess
    assert await enters(world, event, "dave") == "ok"
    (row,) = await world.owner.sql("SELECT password_hash FROM scheduled_events")
    assert "sesame" not in row.password_hash
    await change(world, event, password="open rye, please")
    assert await enters(world, event, "dave") == "forbidden"


async def of_primary(world: World, count: int = 1, password: str | None = None) -> ScheduledEvent:
    """Copies events of alice's from the primary; returns the first."""
    access, digest = ("password", digest_of("summit-1", password)) if password else ("open", None)
    async with world.owner.database.transaction() as connection:
        await connection.execute(text("DELETE FROM presence_events"))
        await connection.execute(
            text(
                "INSERT INTO presence_events (code, title, description, host, co_hosts, access, password_digest,"
                " starts_at, ends_at, doors_at, closes_at, cancelled, row_hash) SELECT 'summit-' || n, 'Summit', '',"
                " 'alice', '{mona}', :access, :digest, now(), now() + interval '1 h', now(), now() + interval '2 h',"
                " false, '' FROM generate_series(1, :count) n"
            ),
            {"access": access, "digest": digest, "count": count},
        )
    return await world.call(events.get_event, GetEvent("summit-1"), "alice")


async def test_an_event_of_the_primary_is_changed_there_and_not_here(world: World) -> None:
    event = await of_primary(world)
    for who in ("alice", "mona", "olivia"):
        assert await refusal(change(world, event, who, title="Another")) == "conflict"
        assert await refusal(world.call(events.cancel_event, GetEvent(event.id), who)) == "conflict"
    assert await refusal(change(world, event, "dave", title="Another")) == "forbidden"
    assert (await take(world, event, "dave"))[0] == "going"


async def test_the_password_that_the_primary_gave_an_event_lets_in_here(world: World) -> None:
    event = await of_primary(world, password="rye")
    assert await enters(world, event, "dave") == "forbidden"
    assert not (await world.call(events.verify_access, VerifyAccess(event.id, "barley"), "dave")).hasAccess
    assert (await world.call(events.verify_access, VerifyAccess(event.id, "rye"), "dave")).hasAccess
    assert await enters(world, event, "dave") == "ok"


async def test_events_of_the_primary_do_not_count_among_those_that_an_account_may_hold_here(world: World) -> None:
    await of_primary(world, count=30)
    assert (await hold(world)).host == "alice"


async def test_an_account_guesses_so_many_passwords_a_minute_and_no_more(world: World) -> None:
    event = await hold(world, access="password", password="open sesame")
    guesses = [world.call(events.verify_access, VerifyAccess(event.id, f"guess {n}"), "bob") for n in range(11)]
    codes = [await refusal(guess) for guess in guesses]
    assert codes == ["ok"] * 10 + ["rate_limited"]


async def test_places_are_given_in_order_and_the_waiting_list_moves_up(world: World) -> None:
    event = await hold(world, capacity=1)
    assert await enters(world, event, "bob") == "forbidden"
    assert [await take(world, event, who) for who in ("bob", "carol", "dave")] == [
        ("going", 1), ("waiting", 1), ("waiting", 2),
    ]  # fmt: skip
    assert [await enters(world, event, who) for who in ("bob", "carol")] == ["ok", "forbidden"]
    await world.call(events.give_place_back, GetEvent(event.id), "bob")
    assert [await enters(world, event, who) for who in ("bob", "carol")] == ["forbidden", "ok"]
    raised = await change(world, event, capacity=2)
    assert (raised.going, raised.waiting) == (2, 0)
    assert await enters(world, event, "dave") == "ok"
    given = await world.owner.sql("SELECT payload FROM event_log WHERE name = 'events.place_given' ORDER BY seq")
    assert [row.payload["accounts"] for row in given] == [["carol"], ["dave"]]


async def test_500_people_for_100_places_over_two_replicas_are_100_and_a_waiting_list_in_order(
    servers: Servers,
) -> None:
    database_url, redis_url = await servers.new_database(), servers.new_redis_database()
    async with contextlib.AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(running(database_url, redis_url, servers.hive_url)) for _ in range(2)
        ]
        event = await hold(replicas[0], capacity=100)
        people = [f"person-{number}" for number in range(500)]
        taken = await asyncio.gather(*(take(replicas[n % 2], event, name) for n, name in enumerate(people)))
        rows = await replicas[0].owner.sql("SELECT account, number, going FROM event_places ORDER BY number")
    assert [row.number for row in rows] == list(range(1, 501))
    assert [row.going for row in rows] == [True] * 100 + [False] * 400
    told = dict(zip(people, taken, strict=True))
    assert [told[row.account] for row in rows] == [("going", n) for n in range(1, 101)] + [
        ("waiting", n) for n in range(1, 401)
    ]


@pytest.mark.parametrize(("changed", "code"), [("cancelled_at = now()", "conflict"), ("access = 'list'", "not_found")])
async def test_nobody_gets_a_place_at_an_event_that_is_changed_at_that_moment(
    world: World, changed: str, code: str
) -> None:
    event = await hold(world)
    async with world.owner.database.transaction() as connection:
        await connection.execute(text(f"UPDATE scheduled_events SET {changed}"))
        taking = asyncio.create_task(take(world, event, "dave"))

        async def waits() -> bool:
            return bool(await world.owner.sql("SELECT 1 FROM pg_locks WHERE NOT granted"))

        await eventually(waits)
    assert await refusal(taking) == code
    assert await world.owner.sql("SELECT 1 FROM event_places") == []


async def test_passwords_that_wait_to_be_compared_are_so_many_and_no_more(world: World) -> None:
    passwords = Passwords()
    stored = await passwords.hashed("open sesame")
    fits = (passwords.fits("open sesame", stored) for _ in range(MOST_WAITING + 5))
    outcomes = await asyncio.gather(*fits, return_exceptions=True)
    assert outcomes.count(True) == MOST_WAITING
    assert {error.kind for error in outcomes if isinstance(error, PresenceError)} == {UNAVAILABLE}


async def test_a_cancelled_event_stays_and_says_so(world: World) -> None:
    event = await hold(world)
    assert await refusal(world.call(events.cancel_event, GetEvent(event.id), "dave")) == "forbidden"
    await world.call(events.cancel_event, GetEvent(event.id), "alice")
    seen = await world.call(events.get_event, GetEvent(event.id), "anonymous")
    assert (seen.cancelled, seen.sequence) == (True, 1)
    assert await enters(world, event, "dave") == "forbidden"
    assert await refusal(take(world, event, "dave")) == "conflict"
    assert (await world.call(events.list_events, ListEvents(), "dave")).events == []


async def test_what_takes_access_away_raises_the_epoch_of_the_space(world: World) -> None:
    event = await hold(world, capacity=5)
    await take(world, event, "bob")
    epochs = [(await world.review_entry(space_of(event), "alice")).epoch]
    for act in (
        change(world, event, access="list"),
        world.call(events.give_place_back, GetEvent(event.id), "alice"),
        world.call(events.cancel_event, GetEvent(event.id), "alice"),
    ):
        await act
        epochs.append((await world.review_entry(space_of(event), "alice")).epoch)
    assert epochs[0] < epochs[1] == epochs[2] < epochs[3]


async def test_an_event_in_another_space_takes_nothing_of_that_spaces_rules_away(world: World) -> None:
    venue = {"space_type": "post", "space_id": "alice/my-360-photo"}
    assert await refusal(hold(world, "dave", **venue)) == "forbidden"
    event = await hold(world, access="list", **venue)
    assert await world.entry_code(SpaceKey("post", "alice/my-360-photo"), "dave") == "ok"
    assert await enters(world, event, "dave") == "not_found"


async def test_an_event_in_a_space_that_one_may_not_see_does_not_exist(world: World) -> None:
    event = await hold(world, "bob", space_type="document", space_id="123")
    assert await refusal(world.call(events.get_event, GetEvent(event.id), "dave")) == "not_found"
    assert (await world.call(events.list_events, ListEvents(), "dave")).events == []
    assert len((await world.call(events.list_events, ListEvents(), "alice")).events) == 1


async def test_an_account_has_so_many_events_ahead_and_no_more(world: World) -> None:
    for _ in range(world.settings.events_per_account):
        await hold(world)
    assert await refusal(hold(world)) == "conflict"


async def test_events_are_listed_by_their_start_page_by_page(world: World) -> None:
    for minutes in (30, 10, 20):
        await hold(world, title=str(minutes), starts_at=in_minutes(minutes), ends_at=in_minutes(90))
    first = await world.call(events.list_events, ListEvents(limit=2), "anonymous")
    second = await world.call(events.list_events, ListEvents(limit=2, cursor=first.next_cursor), "anonymous")
    assert [event.title for event in (*first.events, *second.events)] == ["10", "20", "30"]
    assert second.next_cursor is None
    assert [e.title for e in (await world.call(events.list_events, ListEvents(offset=2), "anonymous")).events] == ["30"]


async def notices(world: World) -> list[tuple[str, list[str]]]:
    return [
        (row.kind, row.accounts)
        for row in await world.owner.sql("SELECT kind, accounts FROM event_notices ORDER BY id")
    ]


async def test_those_who_go_are_reminded_once_though_two_replicas_look(world: World) -> None:
    await world.owner.sql("DELETE FROM event_notices")
    event = await hold(world, starts_at=in_minutes(30), ends_at=in_minutes(90), doors_minutes=60)
    await take(world, event, "bob")
    clock = world.part(EventClock)
    assert await clock.remind() == 0
    await change(world, event, starts_at=in_minutes(9))
    assert sorted(await asyncio.gather(clock.remind(), clock.remind())) == [0, 1]
    assert await clock.remind() == 0
    assert await notices(world) == [("event_reminder", ["bob"])]
    logged = await world.owner.sql("SELECT space_id FROM event_log WHERE name = 'events.starts_soon'")
    assert [row.space_id for row in logged].count(event.id) == 1


async def test_an_event_that_began_before_anybody_looked_reminds_nobody(world: World) -> None:
    await world.owner.sql("DELETE FROM event_notices")
    event = await hold(world, starts_at=in_minutes(30), ends_at=in_minutes(90), doors_minutes=60)
    await take(world, event, "bob")
    await world.owner.sql("UPDATE scheduled_events SET starts_at = now() - interval '1 second'")
    assert await world.part(EventClock).remind() == 0
    assert await notices(world) == []


async def test_where_the_primary_makes_room_who_waits_goes_first_and_the_counts_are_right(world: World) -> None:
    event = await hold(world, capacity=1)
    taken = [await take(world, event, who) for who in ("bob", "carol", "dave")]
    assert taken == [("going", 1), ("waiting", 1), ("waiting", 2)]
    await world.owner.sql("UPDATE scheduled_events SET capacity = 3")  # as the trigger does
    assert await take(world, event, "mona") == ("waiting", 3)
    clock = world.part(EventClock)
    assert sorted(await asyncio.gather(clock.move_up(), clock.move_up())) == [0, 1]
    await world.owner.sql("UPDATE scheduled_events SET capacity = NULL")
    assert await take(world, event, "rolf") == ("going", 4)
    await clock.look()
    (counted,) = await world.owner.sql("SELECT going, waiting FROM scheduled_events")
    assert (counted.going, counted.waiting) == (5, 0)
    rows = await world.owner.sql("SELECT account FROM event_places WHERE going ORDER BY number")
    assert [row.account for row in rows] == ["bob", "carol", "dave", "mona", "rolf"]


async def test_who_is_off_the_list_leaves_the_place_to_who_waits(world: World) -> None:
    event = await hold(world, access="list", listed=["bob", "dave"], capacity=1)
    assert [await take(world, event, who) for who in ("bob", "dave")] == [("going", 1), ("waiting", 1)]
    await change(world, event, listed=["dave"])
    rows = await world.owner.sql("SELECT account, going FROM event_places")
    assert [(row.account, row.going) for row in rows] == [("dave", True)]


async def test_people_of_an_event_that_is_over_are_reviewed_once(world: World) -> None:
    event = await hold(world)
    before = (await world.review_entry(space_of(event), "alice")).epoch
    await world.owner.sql("UPDATE scheduled_events SET closes_at = now() - interval '1 second'")
    clock = world.part(EventClock)
    assert [await clock.close(), await clock.close()] == [1, 0]
    assert (await world.review_entry(space_of(event), "alice")).epoch > before


async def test_a_calendar_tells_an_events_changes_and_its_end(world: World) -> None:
    async def entry() -> Any:
        told = await world.call(events.get_calendar, GetEvent(event.id), "anonymous")
        (found,) = Calendar.from_ical(told.text).walk("VEVENT")
        return found

    event = await hold(world, title="Party; with\nEND:VEVENT", description="Ä, ö")
    first = await entry()
    assert (str(first["SUMMARY"]), str(first["DESCRIPTION"])) == ("Party; with\nEND:VEVENT", "Ä, ö")
    assert (first["SEQUENCE"], str(first["STATUS"])) == (0, "CONFIRMED")
    assert first.start == event.starts_at.replace(microsecond=0)
    await change(world, event, title="Feast")
    await world.call(events.cancel_event, GetEvent(event.id), "alice")
    last = await entry()
    assert (last["SEQUENCE"], str(last["STATUS"]), last["UID"]) == (2, "CANCELLED", first["UID"])
