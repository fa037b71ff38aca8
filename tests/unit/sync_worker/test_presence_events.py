"""How events of the primary are understood: when they are, and whom they let in."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.db import primary_passwords
from services.sync_worker.tables.presence_events import GRACE, LETS_IN, OPEN_END, PRESENCE_EVENTS, STATES
from services.sync_worker.tables.values import BadRow

EVENT = {
    "event_code": "Open-Studio",
    "title": "Open studio",
    "host_account": "alice",
    "co_hosts": ["bob", "alice"],
    "is_public": True,
    "password_protected": False,
    "event_password": None,
    "status": "scheduled",
    "scheduled_start": "2026-05-01T18:00:00",
    "scheduled_end": "2026-05-01T20:00:00",
    "created_at": "2026-04-01T10:00:00",
    "updated_at": "2026-05-01T17:00:00",
}
START, END, CHANGED = (datetime(2026, 5, 1, hour, tzinfo=UTC) for hour in (18, 20, 17))


def read(**changed: Any) -> Any:
    return PRESENCE_EVENTS.read(PRESENCE_EVENTS.shapes[0], [{**EVENT, **changed}])


def test_an_event_is_understood() -> None:
    event = read()
    assert (event["code"], event["title"], event["description"], event["host"]) == (
        *("Open-Studio", "Open studio", "", "alice"),
    )
    assert (event["co_hosts"], event["capacity"], event["cancelled"]) == (["bob"], None, False)


@pytest.mark.parametrize(
    ("row", "access"),
    [
        ({}, "open"),
        ({"is_public": False}, "list"),
        ({"is_public": None}, "list"),
        ({"requires_subscription": True}, "list"),
        ({"min_tier_required": 2}, "list"),
        ({"password_protected": True, "event_password": "sesame"}, "password"),
        ({"password_protected": True, "event_password": "sesame", "is_public": False}, "password"),
        ({"password_protected": True}, "list"),
        ({"password_protected": True, "event_password": ""}, "list"),
    ],
)
def test_whoever_an_event_is_not_known_to_be_for_stays_outside(row: dict[str, Any], access: str) -> None:
    event = read(**row)
    assert (event["access"], event["password_digest"] is not None) == (access, access == "password")


def test_the_password_itself_is_not_kept_and_its_digest_is_of_that_event() -> None:
    stored = read(password_protected=True, event_password="sesame")["password_digest"]
    assert "sesame" not in stored
    assert primary_passwords.fits("sesame", stored)
    assert not primary_passwords.fits("Sesame", stored)
    assert stored != primary_passwords.digest_of("another", "sesame")


@pytest.mark.parametrize(
    ("row", "starts", "ends", "doors", "closes"),
    [
        ({}, START, END, START - timedelta(minutes=30), END + GRACE),
        ({"status": None}, START, END, START - timedelta(minutes=30), END + GRACE),
        ({"status": "live"}, START, END, CHANGED, END),
        ({"status": "live", "scheduled_end": None}, START, OPEN_END, CHANGED, OPEN_END),
        ({"status": "ended"}, START, CHANGED, START, CHANGED),
        ({"status": "ended", "actual_end": "2026-05-01T19:00:00"}, START, END - GRACE, START, END - GRACE),
    ],
)
def test_doors_are_open_while_an_event_is_planned_or_live_and_shut_once_it_has_ended(
    row: dict[str, Any], starts: datetime, ends: datetime, doors: datetime, closes: datetime
) -> None:
    event = read(**row)
    assert [event[name] for name in ("starts_at", "ends_at", "doors_at", "closes_at")] == [starts, ends, doors, closes]


@pytest.mark.parametrize(
    "row",
    [
        {"event_code": "no such/space"},
        {"host_account": None},
        {"host_account": "A"},
        {"status": "moved"},
        {"is_public": "perhaps"},
        {"scheduled_start": None, "created_at": None, "updated_at": None},
    ],
)
def test_an_event_that_cannot_be_understood_is_bad(row: dict[str, Any]) -> None:
    with pytest.raises(BadRow):
        read(**row)


def test_every_kind_of_access_has_its_place_and_every_state_can_be_read() -> None:
    assert sorted(LETS_IN) == ["list", "open", "password"]
    assert {state: read(status=state)["cancelled"] for state in STATES} == dict.fromkeys(STATES[:3], False) | {
        "cancelled": True
    }
