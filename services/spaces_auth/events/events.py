"""Holds, lists, changes and cancels events."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts import events
from libs.common.contracts.events import (
    ChangeEvent,
    CreateEvent,
    EventCalendar,
    GetEvent,
    ListEvents,
    ScheduledEvent,
    ScheduledEvents,
)
from libs.common.db import cursor
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog, Fact
from libs.common.errors import CONFLICT, INVALID_INPUT, PresenceError
from libs.common.ids import new_id
from libs.common.roles import is_operator
from libs.common.spaces import SpaceKey
from services.spaces_auth.events import events_repository as repository
from services.spaces_auth.events import places_repository as places
from services.spaces_auth.events.calendars import calendar_of
from services.spaces_auth.events.event_rules import EventRules, require_near, require_password
from services.spaces_auth.events.event_views import given_facts, log_of, shown, space_of, told, venue_of
from services.spaces_auth.events.passwords import Passwords
from services.spaces_auth.moderation import audit_repository
from services.spaces_auth.moderation.access_epochs import AccessEpochs
from services.spaces_auth.moderation.audit_repository import Entry

_Micros = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EventHandlers:
    """`most` is how many events of an account may be ahead or under way, cancelled ones too."""

    def __init__(
        self,
        log: EventLog,
        reads: Database,
        epochs: AccessEpochs,
        rules: EventRules,
        passwords: Passwords,
        most: int,
        public_url: str,
    ) -> None:
        self._log = log
        self._reads = reads
        self._epochs = epochs
        self._rules = rules
        self._passwords = passwords
        self._most = most
        self._public_url = public_url

    async def list_events(self, caller: Caller, request: ListEvents) -> ScheduledEvents:
        """Returns a page of the events that the caller may see; a page may be shorter by those hidden elsewhere."""
        after = _position(request.cursor)
        async with self._reads.read() as connection:
            rows = await repository.page(
                connection,
                caller.identity.account or "",
                operator=is_operator(caller.identity, self._rules.operators),
                upcoming=now() if request.upcoming else None,
                after=after,
                limit=request.limit + 1,
                offset=0 if after else request.offset,
            )
            page = rows[: request.limit]
            hidden = await self._hidden(connection, caller, {venue_of(row) for row in page})
        more = cursor.encode(_micros(page[-1].starts_at), page[-1].id) if len(rows) > len(page) else None
        return ScheduledEvents([_listed(row) for row in page if venue_of(row) not in hidden], more)

    async def _hidden(self, connection: AsyncConnection, caller: Caller, venues: Collection[SpaceKey]) -> set[SpaceKey]:
        """Returns those of the spaces where events happen that are not events', and that the caller may not see."""
        hidden = set()
        for venue in sorted(venues):
            if venue.space_type != "event":
                standing = await access.look(connection, caller.identity, venue, self._rules.operators, caller.address)
                if not standing.may_see:
                    hidden.add(venue)
        return hidden

    async def get_event(self, caller: Caller, request: GetEvent) -> ScheduledEvent:
        """Returns the event with the caller's place. Raises `not_found` and `banned`."""
        async with self._reads.read() as connection:
            event, _ = await self._rules.seen(connection, caller, request.id)
            return shown(event, await places.place_of(connection, event.id, caller.identity.account))

    async def get_calendar(self, caller: Caller, request: GetEvent) -> EventCalendar:
        """Returns the event for a calendar. Raises `not_found` and `banned`."""
        return EventCalendar(calendar_of(await self.get_event(caller, request), self._public_url))

    async def create_event(self, caller: Caller, request: CreateEvent) -> ScheduledEvent:
        """Makes the event, and its space `event:<id>`, of which the caller is the owner.

        Raises `conflict` for an account that has too many, `not_found` and `forbidden` for a space in which the caller
        may not hold it.
        """
        require_near(request.starts_at, now())
        require_password(request.access, request.password)
        times = self._rules.times(request.starts_at, request.ends_at, request.doors_minutes)
        event_id, host = new_id(), caller.identity.account or caller.identity.id
        venue = _venue(request) or SpaceKey("event", event_id)
        values = {
            "id": event_id,
            "host": host,
            "title": request.title,
            "description": request.description,
            "space_type": venue.space_type,
            "space_id": venue.space_id,
            "capacity": request.capacity,
            "access": request.access,
            "password_hash": await self._passwords.hashed(request.password) if request.password else None,
            **times,
        }
        async with self._log.transaction() as tx:
            if await repository.held_by(tx.connection, host, now()) >= self._most:
                raise PresenceError(CONFLICT, f"An account may have {self._most} events ahead of it.")
            if venue != SpaceKey("event", event_id):
                standing = await access.look(tx.connection, caller.identity, venue, self._rules.operators)
                standing.require(Action.MODERATE)
            await repository.create(tx.connection, values)
            await repository.let_in(tx.connection, event_id, set(request.listed or ()) - {host}, host)
            event = await _stored(tx.connection, event_id)
            await tx.append(events.scheduled, log_of(event), caller, lambda _: told(event))
        return shown(event)

    async def change_event(self, caller: Caller, request: ChangeEvent) -> ScheduledEvent:
        """Changes the event; who is inside and may not be any more is put out, and who waits moves up.

        Raises `forbidden`, and `conflict` for an event that was cancelled or is over.
        """
        password = await self._passwords.hashed(request.password) if request.password else None
        async with self._log.transaction() as tx:
            before = await self._rules.changeable(tx.connection, caller, request.id)
            _require_ahead(before)
            admits = request.access or before.access
            require_password(admits, request.password, has_one=before.password_hash is not None)
            await self._admit(tx.connection, before, request, admits)
            values = {**self._changed(before, request), "access": admits}
            if password or admits != "password":
                values["password_hash"] = password
            after = await repository.change(tx.connection, before.id, values)
            up = await places.move_up(tx.connection, after)
            after = await _stored(tx.connection, before.id)
            await audit_repository.record(tx.connection, space_of(after), caller, None, Entry("event_changed"))
            rows = await tx.append_all([_fact(events.changed, after), *given_facts(after, up)], caller)
            place = await places.place_of(tx.connection, after.id, caller.identity.account)
        for row in rows:
            await self._epochs.raise_soon(row)
        return shown(after, place)

    def _changed(self, before: Row[Any], request: ChangeEvent) -> dict[str, Any]:
        values: dict[str, Any] = {
            name: value for name in ("title", "description") if (value := getattr(request, name)) is not None
        }
        if request.capacity is not None:
            values["capacity"] = request.capacity or None
        if request.starts_at:
            require_near(request.starts_at, now())
        doors = timedelta(minutes=request.doors_minutes or 0)
        if request.doors_minutes is None:
            doors = before.starts_at - before.doors_at
        starts, ends = request.starts_at or before.starts_at, request.ends_at or before.ends_at
        times = self._rules.times(starts, ends, round(doors.total_seconds() / 60))
        later = {"reminded_at": None} if starts > now() and starts != before.starts_at else {}
        return {**values, **times, **later}

    async def _admit(self, connection: AsyncConnection, event: Row[Any], request: ChangeEvent, admits: str) -> None:
        """Replaces the list by the one that is named, and forgets whom an earlier password let in.

        Who is off the list has no place any more.
        """
        if request.password or admits != "password":
            await repository.forget_password(connection, event.id)
        if request.listed is not None:
            wanted = set(request.listed) - {event.host}
            present = await repository.members(connection, event.id)
            await repository.shut_out(connection, event.id, present - wanted)
            for account in sorted(present - wanted):
                await places.give_back(connection, event.id, account)
            await repository.let_in(connection, event.id, wanted - present, event.host)

    async def cancel_event(self, caller: Caller, request: GetEvent) -> ScheduledEvent:
        """Cancels the event, once; it stays, and says so. Raises `forbidden`."""
        async with self._log.transaction() as tx:
            event = await self._rules.changeable(tx.connection, caller, request.id)
            if event.cancelled_at is not None:
                return shown(event)
            event = await repository.change(tx.connection, event.id, {"cancelled_at": now()})
            await audit_repository.record(tx.connection, space_of(event), caller, None, Entry("event_cancelled"))
            await places.notify(tx.connection, "event_cancelled", event, await places.who_goes(tx.connection, event.id))
            rows = await tx.append_all([_fact(events.cancelled, event)], caller)
        for row in rows:
            await self._epochs.raise_soon(row)
        return shown(event)


def _fact(kind: Any, event: Row[Any]) -> Fact[Any]:
    return Fact(kind, log_of(event), None, lambda _: told(event))


async def _stored(connection: AsyncConnection, event_id: str) -> Row[Any]:
    event = await repository.get(connection, event_id)
    if event is None:
        raise RuntimeError("an event vanished from its own transaction")
    return event


def _require_ahead(event: Row[Any]) -> None:
    if event.cancelled_at is not None or event.closes_at <= now():
        raise PresenceError(CONFLICT, "This event was cancelled or is over.")


def _venue(request: CreateEvent) -> SpaceKey | None:
    """Returns the space that the host names. Raises `invalid_input` for half of a name, and for another event's."""
    if request.space_type is None and request.space_id is None:
        return None
    if request.space_type is None or request.space_id is None or request.space_type == "event":
        text = "Both of space_type and space_id, of a space that is no event; or neither."
        raise PresenceError(INVALID_INPUT, details={"fields": {"space_id": [text]}})
    return SpaceKey.parse(request.space_type, request.space_id)


def _listed(row: Row[Any]) -> ScheduledEvent:
    place = None if row.has_place is None else "going" if row.has_place else "waiting"
    return shown(row, events.EventPlace(place, None))


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _position(encoded: str | None) -> repository.Position | None:
    if encoded is None:
        return None
    micros, event_id = cursor.decode(encoded, tuple[_Micros, cursor.Text])
    return _EPOCH + timedelta(microseconds=micros), event_id
