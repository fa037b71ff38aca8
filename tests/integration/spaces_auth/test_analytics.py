"""The five views, the clients' connection reports, and what is forgotten when."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from libs.common.clock import now
from libs.common.contracts import analytics, spaces, voice
from libs.common.contracts.analytics import AnalyticsQuery
from libs.common.contracts.spaces import PresenceChange, RecordPresence
from libs.common.contracts.voice import ConnectionReport
from libs.common.db.engine import Database
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
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
async def _visits(world: World) -> AsyncIterator[None]:
    """dave: photo, then hall, then photo; carol: photo, then the hidden post; a guest: the document."""
    for who, places in (("dave", (PHOTO, HALL, PHOTO)), ("carol", (PHOTO, SECRET)), (None, (NOTES,))):
        moment = now() - timedelta(hours=1)
        for number, place in enumerate(places):
            await visit(world, who, place, moment + timedelta(seconds=100 * number), 60)

    async def counted() -> bool:
        (row,) = await world.owner.sql("SELECT count(*) AS found FROM space_activity")
        return bool(row.found == 12)

    await eventually(counted)
    yield
    await world.owner.sql("DELETE FROM webrtc_reports")


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
    assert shown(await world.call(analytics.movement, AnalyticsQuery(**OF_PHOTO), "alice")) == {
        (photo, hall),
        (hall, photo),
    }


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_a_view_is_for_the_owner_and_all_spaces_are_for_operators(world: World, view: Any) -> None:
    one, everywhere = AnalyticsQuery(**OF_PHOTO), AnalyticsQuery()
    assert [await refusal(world.call(view, one, who)) for who in ("alice", "olivia", "mona", "dave")] == [
        "ok", "ok", "forbidden", "forbidden",
    ]  # fmt: skip
    assert [await refusal(world.call(view, everywhere, who)) for who in ("olivia", "alice")] == ["ok", "forbidden"]
    hidden = AnalyticsQuery("post", "carol/not-for-you")
    assert await refusal(world.call(view, hidden, "dave")) == "not_found"


async def test_rows_whose_time_is_over_are_pruned(world: World) -> None:
    await world.call(voice.report_connection, ConnectionReport("failed"), "dave")
    database = Database(world.settings.database_url, "spaces_auth", 2)
    counts = "SELECT (SELECT count(*) FROM space_activity) AS a, (SELECT count(*) FROM webrtc_reports) AS w," \
             " (SELECT count(*) FROM presence_sessions) AS s"  # fmt: skip
    await Retention(database).prune()
    assert tuple((await world.owner.sql(counts))[0]) == (12, 1, 6)
    await world.owner.sql(
        "UPDATE space_activity SET occurred_at = now() - interval '31 days' WHERE user_account = 'dave'"
    )
    await world.owner.sql("UPDATE webrtc_reports SET created_at = now() - interval '31 days'")
    await world.owner.sql(
        "UPDATE presence_sessions SET left_at = now() - interval '3 hours' WHERE user_account = 'dave'"
    )
    await Retention(database).prune()
    assert tuple((await world.owner.sql(counts))[0]) == (6, 0, 3)
    await database.stop()
    await world.owner.sql("DELETE FROM event_log WHERE actor = 'account:dave'")
