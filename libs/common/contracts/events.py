"""Scheduled events: things with a host, times, places and access, held in a space of their own or in another.

`Event` is a durable fact in this code base, so what people attend is a `ScheduledEvent` here.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Webhook
from libs.common.contracts.schema import Account, Cursor, SpaceId, SpaceType, at_most, choice, integer, text

MOST_PLACES = 10_000  # of an event, and of its waiting list
MOST_LISTED = 1_000  # accounts that a command names
LONGEST_HOURS = 24 * 14  # of an event
FURTHEST_DAYS = 366 * 2  # ahead
DOORS_MINUTES = 30  # before the start, unless the host says otherwise
LONGEST_TITLE = 200  # characters
LONGEST_TEXT = 5_000  # characters of a description

EventId = Annotated[str, text(64, pattern=r"[A-Za-z0-9_-]+")]
Title = Annotated[str, text(LONGEST_TITLE)]
Description = Annotated[str, text(LONGEST_TEXT, 0)]
Password = Annotated[str, text(128, 8)]
Capacity = Annotated[int, integer(1, MOST_PLACES)]
Doors = Annotated[int, integer(0, 24 * 60)]
Admits = Annotated[str, choice("open", "list", "password")]
EventPage = Annotated[int, integer(1, 100)]


@dataclass(frozen=True)
class ScheduledEvent:
    """An event as its visitors see it. `space_type` and `space_id` are where it happens; times are UTC.

    `doors_at` is when `event:<id>` opens, `closes_at` when it closes. `capacity` is null where there is no limit.
    `going` and `waiting` are how many have a place, or wait for one; `your_place` is the caller's. `sequence` counts
    changes. A cancelled event stays, and says so.
    """

    id: str
    title: str
    description: str
    host: str
    space_type: str
    space_id: str
    starts_at: datetime
    ends_at: datetime
    doors_at: datetime
    closes_at: datetime
    capacity: int | None
    access: str
    going: int
    waiting: int
    cancelled: bool
    sequence: int
    created_at: datetime
    updated_at: datetime
    your_place: str | None = None
    your_position: int | None = None


@dataclass(frozen=True)
class ListEvents:
    """Asks for events by their start; `upcoming` leaves out those that are over and those that were cancelled."""

    limit: EventPage = 50
    offset: Annotated[int, integer(0, 10_000)] = 0
    cursor: Cursor | None = None
    upcoming: bool = True


@dataclass(frozen=True)
class ScheduledEvents:
    """A page of events, the earliest first."""

    events: list[ScheduledEvent]
    next_cursor: str | None


@dataclass(frozen=True)
class CreateEvent:
    """An event to hold. Without a space it happens in `event:<id>`; another's needs a moderator of that space.

    Doors open `doors_minutes` before the start. `listed` are the accounts that `access: list` lets in, `password` what
    `access: password` asks for.
    """

    title: Title
    starts_at: datetime
    ends_at: datetime
    description: Description = ""
    space_type: SpaceType | None = None
    space_id: SpaceId | None = None
    capacity: Capacity | None = None
    access: Admits = "open"
    listed: list[Account] | None = field(default=None, metadata=at_most(MOST_LISTED))
    password: Password | None = None
    doors_minutes: Doors = DOORS_MINUTES


@dataclass(frozen=True)
class GetEvent:
    """Asks for one event."""

    id: EventId


@dataclass(frozen=True)
class ChangeEvent:
    """Changes what is named. `capacity: 0` takes the limit away; `listed` replaces the accounts that are let in."""

    id: EventId
    title: Title | None = None
    description: Description | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    capacity: Annotated[int, integer(0, MOST_PLACES)] | None = None
    access: Admits | None = None
    listed: list[Account] | None = field(default=None, metadata=at_most(MOST_LISTED))
    password: Password | None = None
    doors_minutes: Doors | None = None


@dataclass(frozen=True)
class EventPlace:
    """The caller's place: `going`, `waiting` or null. `position` counts from 1 among those who go, or wait."""

    place: str | None
    position: int | None


@dataclass(frozen=True)
class VerifyAccess:
    """Asks whether the caller has access; the right `password` gives it, and is needed once.

    Passwords that the primary gave its events may be shorter and longer than those that are set here.
    """

    id: EventId
    password: Annotated[str, text(255)] | None = None


@dataclass(frozen=True)
class EventAccess:
    """`hasAccess` says whether the event is for the caller; `doors_open` whether `event:<id>` is open now."""

    hasAccess: bool  # noqa: N815  the front end's name
    doors_open: bool


@dataclass(frozen=True)
class EventCalendar:
    """An event in the form of RFC 5545, which calendars read."""

    text: str


@dataclass(frozen=True)
class EventTold:
    """What became of an event; `going` are so many. Times are UTC."""

    id: str
    title: str
    host: str
    space_type: str
    space_id: str
    starts_at: datetime
    ends_at: datetime
    going: int


@dataclass(frozen=True)
class PlaceGiven:
    """Somebody in the waiting list has a place now."""

    id: str
    title: str
    accounts: list[str]


@dataclass(frozen=True)
class PlaceLeft:
    """Somebody gave a place back."""

    id: str
    account: str


list_events = Operation(
    "events.list",
    "spaces_auth",
    ListEvents,
    ScheduledEvents,
    Access.ANYONE,
    Limit(120, 60),
    bindings=(Http("GET", "/api/events"),),
    summary="Events that the caller may see, the earliest first.",
)
create_event = Operation(
    "events.create",
    "spaces_auth",
    CreateEvent,
    ScheduledEvent,
    Access.ACCOUNT,
    Limit(20, 3600),
    writes=True,
    bindings=(Http("POST", "/api/events", 201),),
    summary="Hold an event.",
)
get_event = Operation(
    "events.get",
    "spaces_auth",
    GetEvent,
    ScheduledEvent,
    Access.ANYONE,
    Limit(240, 60),
    bindings=(Http("GET", "/api/events/{id}"),),
    summary="One event, and the caller's place at it.",
)
change_event = Operation(
    "events.change",
    "spaces_auth",
    ChangeEvent,
    ScheduledEvent,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("PATCH", "/api/events/{id}"),),
    summary="Change an event; for its host and moderators.",
)
cancel_event = Operation(
    "events.cancel",
    "spaces_auth",
    GetEvent,
    ScheduledEvent,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("DELETE", "/api/events/{id}"),),
    summary="Cancel an event; for its host and moderators. It stays, and says that it was cancelled.",
)
take_place = Operation(
    "events.take_place",
    "spaces_auth",
    GetEvent,
    EventPlace,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("POST", "/api/events/{id}/join"),),
    summary="Take a place at an event, or one in its waiting list.",
    timeout=15.0,
)
give_place_back = Operation(
    "events.give_place_back",
    "spaces_auth",
    GetEvent,
    EventPlace,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("DELETE", "/api/events/{id}/join"),),
    summary="Give a place back; whoever waits first has it.",
)
verify_access = Operation(
    "events.verify_access",
    "spaces_auth",
    VerifyAccess,
    EventAccess,
    Access.ANYONE,
    Limit(60, 60, per_address=True),
    writes=True,
    bindings=(Http("POST", "/api/events/{id}/verify-access"),),
    summary="Whether the caller has access to an event; with its password, get it.",
)

get_calendar = Operation(
    "events.get_calendar",
    "spaces_auth",
    GetEvent,
    EventCalendar,
    Access.ANYONE,
    Limit(240, 60),
    bindings=(Http("GET", "/api/events/{id}.ics", media_type="text/calendar"),),
    summary="One event for a calendar (RFC 5545).",
)

scheduled = Event("events.scheduled", EventTold, summary="An event will be held.")
changed = Event(
    "events.changed",
    EventTold,
    bindings=(Webhook("event_changed"),),
    summary="An event's times, places or access changed.",
)
cancelled = Event(
    "events.cancelled", EventTold, bindings=(Webhook("event_cancelled"),), summary="An event was cancelled."
)
starts_soon = Event(
    "events.starts_soon", EventTold, bindings=(Webhook("event_reminder"),), summary="An event begins in some minutes."
)
closed = Event("events.closed", EventTold, summary="An event is over, and its space closes.")
place_given = Event("events.place_given", PlaceGiven, summary="Accounts of the waiting list have places now.")
place_left = Event("events.place_left", PlaceLeft, summary="An account gave its place back.")

CHANGES_ACCESS = (changed.name, cancelled.name, closed.name, place_left.name)
"""Events after which somebody in `event:<id>` may have to leave."""

RECORDS = (
    list_events, create_event, get_event, change_event, cancel_event, take_place, give_place_back, verify_access,
    get_calendar,
    scheduled, changed, cancelled, starts_soon, closed, place_given, place_left,
)  # fmt: skip
