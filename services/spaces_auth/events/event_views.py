"""Events as they are shown: rows of the database to what the wire carries."""

from typing import Any

from sqlalchemy import Row

from libs.common.contracts import events
from libs.common.contracts.events import EventPlace, EventTold, ScheduledEvent
from libs.common.db.event_log import Fact
from libs.common.spaces import SpaceKey
from services.spaces_auth.events.places_repository import NO_PLACE


def space_of(event: Row[Any]) -> SpaceKey:
    """Returns the space of the event's own name, whose rules say who may see the event and who moderates it."""
    return SpaceKey("event", event.id)


def venue_of(event: Row[Any]) -> SpaceKey:
    """Returns the space where it happens: its own, or another."""
    return SpaceKey(event.space_type, event.space_id)


def log_of(event: Row[Any]) -> SpaceKey:
    """Returns the space whose log tells of the event: where it happens, unless it is for those on its list alone."""
    return space_of(event) if event.access == "list" else venue_of(event)


def shown(event: Row[Any], place: EventPlace = NO_PLACE) -> ScheduledEvent:
    """Returns the event as somebody with that place sees it."""
    return ScheduledEvent(
        id=event.id,
        title=event.title,
        description=event.description,
        host=event.host,
        space_type=event.space_type,
        space_id=event.space_id,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        doors_at=event.doors_at,
        closes_at=event.closes_at,
        capacity=event.capacity,
        access=event.access,
        going=event.going,
        waiting=event.waiting,
        cancelled=event.cancelled_at is not None,
        sequence=event.sequence,
        created_at=event.created_at,
        updated_at=event.updated_at,
        your_place=place.place,
        your_position=place.position,
    )


def told(event: Row[Any]) -> EventTold:
    """Returns the event as the log tells of it."""
    return EventTold(
        event.id,
        event.title,
        event.host,
        event.space_type,
        event.space_id,
        event.starts_at,
        event.ends_at,
        event.going,
    )


def given_facts(event: Row[Any], accounts: list[str]) -> list[Fact[Any]]:
    """Returns the fact that accounts of the waiting list have places now; none for nobody."""
    given = events.PlaceGiven(event.id, event.title, accounts)
    return [Fact(events.place_given, space_of(event), None, lambda _: given)] if accounts else []
