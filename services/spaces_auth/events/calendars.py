"""Events as calendars read them: RFC 5545."""

from icalendar import Calendar
from icalendar import Event as CalendarEvent

from libs.common.contracts.events import ScheduledEvent

PRODUCT = "-//DLUX//Presence//EN"


def calendar_of(event: ScheduledEvent, public_url: str) -> str:
    """Returns a calendar of the one event. Its UID stays, its SEQUENCE counts changes; times are UTC."""
    entry = CalendarEvent()
    entry.add("uid", f"{event.id}@{public_url.partition('://')[2].partition('/')[0]}")
    entry.add("sequence", event.sequence)
    entry.add("summary", event.title)
    if event.description:
        entry.add("description", event.description)
    entry.add("dtstamp", event.updated_at)
    entry.add("last-modified", event.updated_at)
    entry.add("created", event.created_at)
    entry.add("dtstart", event.starts_at)
    entry.add("dtend", event.ends_at)
    entry.add("status", "CANCELLED" if event.cancelled else "CONFIRMED")
    entry.add("url", f"{public_url.rstrip('/')}/api/events/{event.id}")
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(entry)
    return bytes(calendar.to_ical()).decode()
