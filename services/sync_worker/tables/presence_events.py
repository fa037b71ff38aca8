"""The events that people hold at the primary; the schema makes a scheduled event of each (migration 0023)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from libs.common.contracts.content import PresenceEventChanged, presence_event_changed
from libs.common.contracts.events import DOORS_MINUTES, LONGEST_HOURS, LONGEST_TEXT, LONGEST_TITLE, MOST_PLACES
from libs.common.db.models.content import PresenceEvent
from libs.common.db.primary_passwords import digest_of
from libs.common.spaces import SpaceKey
from services.sync_worker.tables.table import Key, Record, Row, Shape, Table, require_space
from services.sync_worker.tables.values import INTEGER, BadRow, Raw, account, flag, moment, text, whole, words

LETS_IN = {"list": 0, "password": 1, "open": 2}
STATES = ("scheduled", "live", "ended", "cancelled")
MOST_HOSTS = 50  # beside the host
LONGEST_NAME = 16  # characters of an account
GRACE = timedelta(hours=1)  # after its end, for which its space stays open
OPEN_END = datetime(2999, 1, 1, tzinfo=UTC)  # of one that goes on until the primary says that it is over


def _event(raw: Raw) -> Record:
    code = str(raw["event_code"])
    require_space("event", code)
    state = raw.get("status") or STATES[0]
    if state not in STATES:
        raise BadRow(f"unknown status {str(state)[:40]!r}")
    host = account(raw, "host_account")
    places = whole(raw.get("max_attendees"), INTEGER)
    return {
        "code": code,
        "title": text(raw.get("title"), LONGEST_TITLE) or code,
        "description": text(raw.get("description"), LONGEST_TEXT) or "",
        "host": host,
        "co_hosts": sorted({*words(raw.get("co_hosts"), LONGEST_NAME, MOST_HOSTS)} - {host}),
        "capacity": None if places is None else min(max(places, 1), MOST_PLACES),
        **_admission(code, raw),
        **_times(state, raw),
        "cancelled": state == "cancelled",
    }


def _admission(code: str, raw: Raw) -> dict[str, Any]:
    """Returns who may come: by a password where one is asked for, anybody to what is public and costs nothing.

    All else is for those whom the primary names. Whoever is to register for an event takes a place at it here.
    """
    if flag(raw, "password_protected"):
        word = text(raw.get("event_password"))
        return {"access": "password" if word else "list", "password_digest": digest_of(code, word) if word else None}
    is_paid = flag(raw, "requires_subscription") or raw.get("min_tier_required") is not None
    return {"access": "open" if flag(raw, "is_public") and not is_paid else "list", "password_digest": None}


def _times(state: str, raw: Raw) -> dict[str, datetime]:
    """Returns when it is. Who is live is open, early or not; who has ended is over, whatever was planned."""
    planned, ends = moment(raw.get("scheduled_start")), moment(raw.get("scheduled_end"))
    started, ended = moment(raw.get("actual_start")), moment(raw.get("actual_end"))
    changed, made = moment(raw.get("updated_at")), moment(raw.get("created_at"))
    starts = started or planned or made or changed
    if starts is None:
        raise BadRow("nothing says when it is")
    if state == "ended":
        ends = ended or changed or starts
        return {"starts_at": starts, "ends_at": ends, "doors_at": starts, "closes_at": ends}
    if state == "live":
        ends = ended or ends or OPEN_END
        return {"starts_at": starts, "ends_at": ends, "doors_at": min(starts, changed or starts), "closes_at": ends}
    ends = ends or starts + timedelta(hours=LONGEST_HOURS)
    doors = starts - timedelta(minutes=DOORS_MINUTES)
    return {"starts_at": starts, "ends_at": ends, "doors_at": doors, "closes_at": ends + GRACE}


def _openness(row: Row) -> tuple[int, ...]:
    return LETS_IN[row["access"]], 0 if row["cancelled"] else 1


def _change(_key: Key, old: Row | None, new: Row | None) -> PresenceEventChanged | None:
    """Returns what became of an event that was there."""
    if old is None or old == new:
        return None
    if new is None:
        return PresenceEventChanged(old["title"], "deleted")
    return PresenceEventChanged(new["title"], "cancelled" if new["cancelled"] and not old["cancelled"] else "changed")


PRESENCE_EVENTS = Table(
    "presence_events",
    PresenceEvent,
    ("code",),
    (
        Shape(
            "by code",
            ("event_code",),
            (
                *("title", "description", "max_attendees", "requires_subscription", "min_tier_required"),
                *("scheduled_start", "scheduled_end", "actual_start", "actual_end", "created_at", "updated_at"),
                *("host_account", "co_hosts", "is_public", "password_protected", "event_password", "status"),
            ),
            _event,
            (("event_code",),),
            lambda key: key,
            access=("host_account", "is_public", "password_protected", "event_password", "status"),
            later_access=("co_hosts", "requires_subscription", "min_tier_required"),
        ),
    ),
    watched=("access", "cancelled", "host", "co_hosts", "password_digest"),
    openness=_openness,
    space_of=lambda key: SpaceKey("event", key[0]),
    events=(presence_event_changed,),
    told=("title", "description", "host", "co_hosts", "access", "starts_at", "ends_at", "capacity", "cancelled"),
    change_of=_change,
    lets_in=("host", "co_hosts", "password_digest"),
    closed={"cancelled": True},
    optional=True,
)
