"""The five views, the clients' connection reports, and what is forgotten when."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from libs.common.clock import now
from libs.common.contracts import analytics, spaces, voice
from libs.common.contracts.analytics import AnalyticsQuery
from libs.common.contracts.spaces import PresenceChange, RecordPresence
from libs.common.contracts.voice import ConnectionReport
from libs.common.db import pruning
from libs.common.db.engine import Database
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.spaces_auth.analytics import summaries_repository
from services.spaces_auth.retention.retention import Retention
from tests.integration.spaces_auth.world import World
from tests.support.refusals import refusal
from tests.support.waiting import eventually

PHOTO, HALL, NOTES = (
    SpaceKey("post", "alice/my-360-photo"),
    SpaceKey("post", "bob/sculpture-hall"),
    SpaceKey("document", "124"),
)
SECRET = SpaceKey("post", "carol/not-for-you")
OF_PHOTO: dict[str, Any] = {"space_type": PHOTO.space_type, "space_id": PHOTO.space_id}
VIEWS = [analytics.popular, analytics.engagement, analytics.voice, analytics.documents, analytics.movement]


@pytest.fixture(autouse=True)
async def _visits(world: World) -> None:
    """dave: photo, then hall, then photo; carol: photo, then the hidden post; a guest: the document."""
    for who, places in (("dave", (PHOTO, HALL, PHOTO)), ("carol", (PHOTO, SECRET)), (None, (NOTES,))):
        moment = now() - timedelta(hours=1)
        for number, place in enumerate(places):
            await visit(world, who, place, moment + timedelta(seconds=100 * number), 60)

    async def counted() -> bool:
        (row,) = await world.owner.sql("SELECT count(*) AS found FROM space_activity WHERE summed")
        return bool(row.found == 12)

    await eventually(counted)


async def visit(world: World, who: str | None, space: SpaceKey, begun: Any, seconds: int) -> None:
    session = new_id()

    def change(kind: str, at: Any) -> PresenceChange:
        return PresenceChange(
            session, kind, space.space_type, space.space_id, "main", "s", "r1", who, None if who else "g1", "x", at
        )  # fmt: skip

    changes = [change("join", begun), change("leave", begun + timedelta(seconds=seconds))]
    await world.call(spaces.record_presence, RecordPresence(changes), "alice")


async def test_popular_spaces_by_people(world: World) -> None:
    found = (await world.call(analytics.popular, AnalyticsQuery(), "olivia")).spaces
    assert (found[0].space_id, found[0].visits, found[0].people) == ("alice/my-360-photo", 3, 2)
    assert {space.space_id for space in found} == {place.space_id for place in (PHOTO, HALL, NOTES, SECRET)}
    (mine,) = (await world.call(analytics.popular, AnalyticsQuery(**OF_PHOTO), "alice")).spaces
    assert (mine.visits, mine.people, mine.messages) == (3, 2, 0)


async def test_engagement_by_day(world: World) -> None:
    days = (await world.call(analytics.engagement, AnalyticsQuery(**OF_PHOTO), "alice")).days
    assert (sum(day.visits for day in days), max(day.people for day in days)) == (3, 2)
    stays = [day.stay_seconds for day in days if day.stay_seconds is not None]
    assert all(seconds >= 0 for seconds in stays)
    assert stays


async def test_voice_is_what_clients_report(world: World) -> None:
    reports = [
        ConnectionReport("connected", "host", "voice", 100, **OF_PHOTO),
        ConnectionReport("connected", "relay", "voice", 300, **OF_PHOTO),
        ConnectionReport("failed", **OF_PHOTO),
        ConnectionReport("failed"),
    ]
    for who, report in zip(("dave", "guest", "anonymous", "anonymous"), reports, strict=True):
        await world.call(voice.report_connection, report, who)
    (day,) = (await world.call(analytics.voice, AnalyticsQuery(**OF_PHOTO), "alice")).days
    assert (day.attempts, round(day.success_rate, 3), day.relayed, day.milliseconds) == (3, 0.667, 0.5, 200)
    (everywhere,) = (await world.call(analytics.voice, AnalyticsQuery(), "olivia")).days
    assert everywhere.attempts == 4
    hidden = ConnectionReport("failed", space_type="post", space_id="carol/not-for-you")
    assert await refusal(world.call(voice.report_connection, hidden, "dave")) == "not_found"
    assert await refusal(world.call(voice.report_connection, ConnectionReport("failed", space_id="x"))) == "not_found"


async def test_documents_by_what_is_done_on_them(world: World) -> None:
    (notes,) = (await world.call(analytics.documents, AnalyticsQuery(), "olivia")).documents
    assert (notes.space_id, notes.visits, notes.people, notes.comments) == ("124", 1, 1, 0)


async def test_movement_shows_an_owner_no_space_that_is_hidden(world: World) -> None:
    def shown(found: Any) -> set[tuple[str, str]]:
        return {(way.from_id, way.to_id) for way in found.ways}

    photo, hall, secret = PHOTO.space_id, HALL.space_id, SECRET.space_id
    everything = shown(await world.call(analytics.movement, AnalyticsQuery(), "olivia"))
    assert everything == {(photo, hall), (hall, photo), (photo, secret)}
    for most in (50, 2):  # what is hidden takes no place of what is not
        asked = AnalyticsQuery(**OF_PHOTO, limit=most)
        assert shown(await world.call(analytics.movement, asked, "alice")) == {(photo, hall), (hall, photo)}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_a_view_is_for_the_owner_and_all_spaces_are_for_operators(world: World, view: Any) -> None:
    one, everywhere = AnalyticsQuery(**OF_PHOTO), AnalyticsQuery()
    assert [await refusal(world.call(view, one, who)) for who in ("alice", "olivia", "mona", "dave")] == [
        "ok", "ok", "forbidden", "forbidden",
    ]  # fmt: skip
    assert [await refusal(world.call(view, everywhere, who)) for who in ("olivia", "alice")] == ["ok", "forbidden"]
    hidden = AnalyticsQuery("post", "carol/not-for-you")
    assert await refusal(world.call(view, hidden, "dave")) == "not_found"


KEPT = ("space_activity", "space_days", "space_people", "space_moves", "move_people", "visitor_places", "webrtc_days",
        "presence_sessions")  # fmt: skip


async def kept(world: World) -> dict[str, int]:
    counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in KEPT)
    (row,) = await world.owner.sql(f"SELECT {counts}")
    return dict(row._mapping)


async def test_rows_whose_time_is_over_are_pruned_with_all_that_was_made_of_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    await world.call(voice.report_connection, ConnectionReport("failed", **OF_PHOTO), "dave")
    database = Database(world.settings.database_url, "spaces_auth", 2)
    before = await kept(world)
    assert all(before.values())
    await Retention(database, 90, 90, now).prune()
    assert await kept(world) == before
    for table, column in (
        ("space_activity", "occurred_at"), ("visitor_places", "entered_at"), ("space_days", "day"),
        ("space_people", "active_on"), ("space_moves", "day"), ("move_people", "moved_on"), ("webrtc_days", "day"),
        ("presence_sessions", "left_at"),
    ):  # fmt: skip
        await world.owner.sql(f"UPDATE {table} SET {column} = {column} - interval '31 days'")
    await Retention(database, 90, 90, now).prune()
    assert not any((await kept(world)).values())
    await database.stop()
    await world.owner.sql("DELETE FROM event_log")


# The sums, against counting everything.

_COUNTED = """
SELECT (SELECT json_agg(x ORDER BY x.d) FROM (
    SELECT (occurred_at AT TIME ZONE 'UTC')::date AS d, count(*) FILTER (WHERE {visit}) AS visits,
      count(DISTINCT actor) AS people, count(*) FILTER (WHERE activity = 'chat.message_posted') AS messages
    FROM space_activity WHERE {recent} GROUP BY 1) x) AS engagement,
  (SELECT json_agg(x ORDER BY x.space_id) FROM (
    SELECT space_id, count(*) FILTER (WHERE {visit}) AS visits, count(DISTINCT actor) FILTER (WHERE {visit}) AS people,
      count(*) FILTER (WHERE activity = 'chat.message_posted') AS messages
    FROM space_activity WHERE {recent} GROUP BY 1) x) AS popular,
  (SELECT json_agg(x ORDER BY x.space_id) FROM (
    SELECT space_id, count(DISTINCT actor) AS people,
      count(DISTINCT actor) FILTER (WHERE activity LIKE 'documents.%') AS commenters
    FROM space_activity WHERE {recent} AND space_type = 'document' GROUP BY 1) x) AS documents,
  (SELECT json_agg(x ORDER BY x.from_id, x.to_id) FROM (
    SELECT from_id, to_id, count(*) AS times, count(DISTINCT actor) AS people FROM (
      SELECT actor, (occurred_at AT TIME ZONE 'UTC')::date AS day, space_id AS to_id, lag(space_id) OVER went AS from_id
      FROM space_activity WHERE {visit} WINDOW went AS (PARTITION BY actor ORDER BY occurred_at, id)) steps
    WHERE from_id <> to_id AND day > current_date - :days GROUP BY 1, 2) x) AS movement
"""
COUNTED = _COUNTED.format(
    visit="activity = 'spaces.member_joined'",
    recent="(occurred_at AT TIME ZONE 'UTC')::date > current_date - cast(:days AS int)",
)
SPACES = [("post", "alice/my-360-photo"), ("post", "bob/sculpture-hall"), ("document", "124"), ("global", "lobby")]
ACTS = ["spaces.member_joined"] * 4 + ["chat.message_posted", "documents.comment_changed", "chat.reaction_changed"]


@pytest.fixture
async def _nothing(world: World) -> AsyncIterator[None]:
    async def clear() -> None:
        for table in (*KEPT, "event_log"):
            await world.owner.sql(f"DELETE FROM {table}")

    await clear()
    yield
    await clear()


@pytest.mark.usefixtures("_nothing")
@pytest.mark.parametrize("seed", range(3))
async def test_sums_say_what_counting_everything_says(world: World, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(summaries_repository, "BATCH", 7)
    ages = sorted((chance.uniform(0, 9 * 86_400) for _ in range(300)), reverse=True)
    for age in ages:  # as it happens: in the order of time, some sums made in between
        space_type, space_id = chance.choice(SPACES)
        actor, activity = f"account:p{chance.randrange(8)}", chance.choice(ACTS)
        await world.owner.sql(
            "INSERT INTO space_activity (event_id, space_type, space_id, activity, actor, occurred_at)"
            " VALUES (:id, :type, :space, :activity, :actor, now() - make_interval(secs => :age))",
            id=new_id(), type=space_type, space=space_id, activity=activity, actor=actor, age=age,
        )  # fmt: skip

    async def summed() -> bool:
        return not await world.owner.sql("SELECT 1 FROM space_activity WHERE NOT summed")

    await eventually(summed)
    for days in (1, 2, 5, 30):
        (counted,) = await world.owner.sql(COUNTED, days=days)
        query = AnalyticsQuery(days=days, limit=100)
        found = (await world.call(analytics.engagement, query, "olivia")).days
        assert [(str(d.day), d.visits, d.people, d.messages) for d in found] == [
            (d["d"], d["visits"], d["people"], d["messages"]) for d in counted.engagement or []
        ]
        popular = (await world.call(analytics.popular, query, "olivia")).spaces
        assert sorted((s.space_id, s.visits, s.people, s.messages) for s in popular) == [
            (s["space_id"], s["visits"], s["people"], s["messages"]) for s in counted.popular or []
        ]
        documents = (await world.call(analytics.documents, query, "olivia")).documents
        assert [(d.space_id, d.people, d.commenters) for d in documents] == [
            (d["space_id"], d["people"], d["commenters"]) for d in counted.documents or []
        ]
        ways = (await world.call(analytics.movement, query, "olivia")).ways
        assert sorted((w.from_id, w.to_id, w.times, w.people) for w in ways) == [
            (w["from_id"], w["to_id"], w["times"], w["people"]) for w in counted.movement or []
        ]


async def test_the_median_of_many_reports_is_that_of_the_reports(world: World) -> None:
    for milliseconds in (40, 90, 90, 1234, 99_999):
        await world.call(voice.report_connection, ConnectionReport("connected", "host", "voice", milliseconds), "dave")
    (day,) = (await world.call(analytics.voice, AnalyticsQuery(), "olivia")).days
    assert (day.attempts, day.milliseconds) == (5, 90)
    await world.call(voice.report_connection, ConnectionReport("connected", "host", "voice", 1299), "dave")
    (day,) = (await world.call(analytics.voice, AnalyticsQuery(), "olivia")).days
    assert day.milliseconds == (90 + 1200) / 2
