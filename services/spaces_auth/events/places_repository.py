"""SQL on `event_places`: places at events and in their waiting lists, in the order in which they were taken.

Whoever changes places holds the event's row, so the numbers are in the order of the commits.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.events import EventPlace as Place
from libs.common.db.models.events import EventNotice, EventPlace, ScheduledEvent
from libs.common.ids import new_id

NOTIFIED_AT_ONCE = 500  # accounts of a notice
NO_PLACE = Place(None, None)


class TakenAtOnceError(Exception):
    """The account came twice at the same time, and has its place by now."""


async def place_of(connection: AsyncConnection, event_id: str, account: str | None) -> Place:
    """Returns the account's place, with its position among those who go or those who wait."""
    mine = select(EventPlace.going, EventPlace.number).where(
        EventPlace.event_id == event_id, EventPlace.account == account
    )
    found = (await connection.execute(mine)).one_or_none() if account else None
    if found is None:
        return NO_PLACE
    before = select(func.count()).where(
        EventPlace.event_id == event_id, EventPlace.going == found.going, EventPlace.number <= found.number
    )
    return Place("going" if found.going else "waiting", (await connection.execute(before)).scalar_one())


# Whoever waits comes first, also where the primary has just made room: then nobody goes past them, unless all may go.
_TAKE = text("""
WITH counted AS (
  UPDATE scheduled_events SET last_place = last_place + 1,
    going = going + CASE WHEN capacity IS NULL OR going < capacity AND waiting = 0 THEN 1 ELSE 0 END,
    waiting = waiting + CASE WHEN capacity IS NULL OR going < capacity AND waiting = 0 THEN 0 ELSE 1 END
  WHERE id = :event_id
    AND CASE WHEN capacity IS NULL OR going < capacity AND waiting = 0 THEN going ELSE waiting END < :most
    AND cancelled_at IS NULL AND ends_at > :moment AND access = :access
    AND NOT EXISTS (SELECT FROM event_places WHERE event_id = :event_id AND account = :account)
  RETURNING last_place, going, waiting, capacity IS NULL OR waiting = 0 AS goes
)
INSERT INTO event_places (event_id, account, number, going)
SELECT :event_id, :account, last_place, goes FROM counted
RETURNING going, (SELECT CASE WHEN goes THEN counted.going ELSE waiting END FROM counted) AS position
""")


async def take(connection: AsyncConnection, event: Row[Any], account: str, most: int, moment: datetime) -> Place | None:
    """Gives the account the next place, one at the event or, where all are taken, in its waiting list.

    One statement, so that hundreds who come at once hold the event's row for as short as can be. Returns None for an
    account that has a place, where `most` go or wait, and for an event that is over, or is not as `event` says any
    more. Raises `TakenAtOnceError`.
    """
    values = {"event_id": event.id, "access": event.access, "account": account, "most": most, "moment": moment}
    try:
        row = (await connection.execute(_TAKE, values)).one_or_none()
    except IntegrityError as error:
        raise TakenAtOnceError from error
    return Place("going" if row.going else "waiting", row.position) if row else None


async def give_back(connection: AsyncConnection, event_id: str, account: str) -> bool | None:
    """Deletes the account's place at an event that is locked; returns whether it was going, None without one."""
    gone = delete(EventPlace).where(EventPlace.event_id == event_id, EventPlace.account == account)
    going = (await connection.execute(gone.returning(EventPlace.going))).scalar_one_or_none()
    if going is not None:
        await _count(connection, event_id, going=-int(going), waiting=-int(not going))
    return going


async def move_up(connection: AsyncConnection, event: Row[Any]) -> list[str]:
    """Gives free places of an event that is locked to those who wait, the first come first; returns them in order."""
    free = event.waiting if event.capacity is None else min(event.capacity - event.going, event.waiting)
    if free <= 0:
        return []
    first = (
        select(EventPlace.account)
        .where(EventPlace.event_id == event.id, ~EventPlace.going)
        .order_by(EventPlace.number)
        .limit(free)
    )
    accounts = list((await connection.execute(first)).scalars())
    statement = update(EventPlace).where(EventPlace.event_id == event.id, EventPlace.account.in_(accounts))
    await connection.execute(statement.values(going=True))
    await notify(connection, "event_place", event, accounts)
    await _count(connection, event.id, going=len(accounts), waiting=-len(accounts))
    return accounts


async def notify(connection: AsyncConnection, kind: str, event: Row[Any], accounts: Sequence[str]) -> None:
    """Leaves a notice for chat, which notifies the accounts: event_reminder, event_place or event_cancelled."""
    rows = [
        {
            "id": new_id(),
            "kind": kind,
            "event_id": event.id,
            "host": event.host,
            "title": event.title,
            "accounts": list(accounts[start : start + NOTIFIED_AT_ONCE]),
        }
        for start in range(0, len(accounts), NOTIFIED_AT_ONCE)
    ]
    if rows:
        await connection.execute(insert(EventNotice).values(rows))


async def who_goes(connection: AsyncConnection, event_id: str) -> list[str]:
    """Returns the accounts that have a place, in order."""
    statement = select(EventPlace.account).where(EventPlace.event_id == event_id, EventPlace.going)
    return list((await connection.execute(statement.order_by(EventPlace.number))).scalars())


async def _count(connection: AsyncConnection, event_id: str, **more: int) -> None:
    statement = update(ScheduledEvent).where(ScheduledEvent.id == event_id)
    await connection.execute(statement.values({name: getattr(ScheduledEvent, name) + n for name, n in more.items()}))
