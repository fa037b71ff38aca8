"""The rules that an event keeps when it is made and changed: its times, its access, and who may see and change it."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Action, Standing
from libs.common.bus.base import Caller
from libs.common.contracts.events import FURTHEST_DAYS, LONGEST_HOURS
from libs.common.errors import BANNED, CONFLICT, INVALID_INPUT, NOT_FOUND, PresenceError
from libs.common.roles import Role
from services.spaces_auth.events import events_repository as repository
from services.spaces_auth.events.event_views import space_of, venue_of

LATE = timedelta(minutes=5)  # after its start, an event may still be made


class EventRules:
    """`operators` stand above every event; `grace` is how long after its end an event's space closes."""

    def __init__(self, operators: tuple[str, ...], grace: timedelta) -> None:
        self.operators = operators
        self._grace = grace

    def times(self, starts: datetime, ends: datetime, doors_minutes: int) -> dict[str, datetime]:
        """Returns the columns of an event's times. Raises `invalid_input` for an end that is not after the start."""
        if not timedelta(0) < ends - starts <= timedelta(hours=LONGEST_HOURS):
            raise _invalid("ends_at", f"After the start, by at most {LONGEST_HOURS} hours.")
        doors = starts - timedelta(minutes=doors_minutes)
        return {"starts_at": starts, "ends_at": ends, "doors_at": doors, "closes_at": ends + self._grace}

    async def seen(
        self, connection: AsyncConnection, caller: Caller, event_id: str, *, locked: bool = False
    ) -> tuple[Row[Any], Standing]:
        """Returns the event, and the caller's standing in its space. Raises `not_found` and `banned`."""
        event = await repository.get(connection, event_id, locked=locked)
        if event is None:
            raise PresenceError(NOT_FOUND)
        standing = await self._standing(connection, caller, event)
        if standing.banned:
            raise PresenceError(BANNED)
        return event, standing

    async def _standing(self, connection: AsyncConnection, caller: Caller, event: Row[Any]) -> Standing:
        """Asks the event's own space, and where it happens elsewhere that space too: what is hidden there hides it."""
        for space in dict.fromkeys((venue_of(event), space_of(event))):
            standing = await access.look(connection, caller.identity, space, self.operators, caller.address)
            if not standing.may_see:
                raise PresenceError(NOT_FOUND)
        return standing

    async def changeable(self, connection: AsyncConnection, caller: Caller, event_id: str) -> Row[Any]:
        """Returns the event, locked.

        Raises `forbidden` for whoever neither holds nor moderates it, and `conflict` for one of the primary's.
        """
        event, standing = await self.seen(connection, caller, event_id, locked=True)
        standing.require(Action.CONFIGURE)
        if event.from_primary:
            raise PresenceError(CONFLICT, "This event is held at data.dlux.io, and is changed there.")
        return event


def require_near(starts: datetime, moment: datetime) -> None:
    """Raises `invalid_input` for a start that is past or too far ahead."""
    if not moment - LATE <= starts <= moment + timedelta(days=FURTHEST_DAYS):
        raise _invalid("starts_at", f"Not past, and at most {FURTHEST_DAYS} days ahead.")


def require_password(admits: str, password: str | None, *, has_one: bool = False) -> None:
    """Raises `invalid_input` where access is by a password that nobody named, or a password is named for nothing."""
    if admits == "password" and not (password or has_one):
        raise _invalid("password", "Needed where access is by password.")
    if admits != "password" and password:
        raise _invalid("password", "For an event whose access is `password`.")


def has_access(event: Row[Any], standing: Standing) -> bool:
    """Returns whether the event is for that person, whatever the time and whether there are places."""
    guest_too = standing.role > Role.GUEST or bool(standing.settings["guests_allowed"])
    return guest_too and (event.access == "open" or standing.role >= Role.MEMBER)


def _invalid(name: str, text: str) -> PresenceError:
    return PresenceError(INVALID_INPUT, details={"fields": {name: [text]}})
