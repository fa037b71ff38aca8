"""SQL on `scheduled_events`, and on the accounts that a list or a password let in."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, exists, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.content import PresencePermission
from libs.common.db.models.events import EventPlace, ScheduledEvent
from libs.common.db.models.spaces import PresenceSpaceSettings, SpaceRole

BY_PASSWORD = "the password"  # noqa: S105  in the place of who gave the role; no account has such a name
type Position = tuple[datetime, str]  # start and id


async def create(connection: AsyncConnection, values: dict[str, Any]) -> None:
    """Stores a new event."""
    await connection.execute(insert(ScheduledEvent).values(values))


async def get(connection: AsyncConnection, event_id: str, *, locked: bool = False) -> Row[Any] | None:
    """Returns the event; `locked` holds it against others' changes until the transaction ends."""
    statement = select(ScheduledEvent).where(ScheduledEvent.id == event_id)
    return (await connection.execute(statement.with_for_update() if locked else statement)).one_or_none()


async def change(connection: AsyncConnection, event_id: str, values: dict[str, Any]) -> Row[Any]:
    """Stores changed columns, counts the change, and returns the event as it is then."""
    statement = update(ScheduledEvent).where(ScheduledEvent.id == event_id)
    counted = {"sequence": ScheduledEvent.sequence + 1, "updated_at": func.now()}
    return (await connection.execute(statement.values(**values, **counted).returning(ScheduledEvent))).one()


async def held_by(connection: AsyncConnection, host: str, since: datetime) -> int:
    """Returns how many events of a host that are held here are not over at `since`, cancelled ones too.

    Waits for others that count.
    """
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"events of {host}", 0))))
    statement = select(func.count()).where(
        ScheduledEvent.host == host, ScheduledEvent.ends_at > since, ~ScheduledEvent.from_primary
    )
    return (await connection.execute(statement)).scalar_one()


async def page(
    connection: AsyncConnection,
    account: str,
    *,
    operator: bool,
    upcoming: datetime | None,
    after: Position | None,
    limit: int,
    offset: int,
) -> list[Row[Any]]:
    """Returns events that the account may see by themselves, by start; those of `upcoming` are not over then."""
    mine = and_(EventPlace.event_id == ScheduledEvent.id, EventPlace.account == account)
    statement = select(ScheduledEvent, EventPlace.going.label("has_place")).outerjoin(EventPlace, mine)
    if not operator:
        statement = statement.where(_is_shown_to(account))
    if upcoming:
        statement = statement.where(ScheduledEvent.ends_at > upcoming, ScheduledEvent.cancelled_at.is_(None))
    if after:
        statement = statement.where(tuple_(ScheduledEvent.starts_at, ScheduledEvent.id) > tuple_(*map(literal, after)))
    statement = statement.order_by(ScheduledEvent.starts_at, ScheduledEvent.id).limit(limit).offset(offset)
    rows: Sequence[Any] = (await connection.execute(statement)).all()
    return list(rows)


def _is_shown_to(account: str) -> ColumnElement[bool]:
    named = exists().where(
        SpaceRole.space_type == "event", SpaceRole.space_id == ScheduledEvent.id, SpaceRole.account == account
    )
    by_primary = exists().where(
        PresencePermission.space_type == "event",
        PresencePermission.space_id == ScheduledEvent.id,
        PresencePermission.account == account,
    )
    return or_(ScheduledEvent.access != "list", ScheduledEvent.host == account, named, by_primary)


async def members(connection: AsyncConnection, event_id: str) -> set[str]:
    """Returns the accounts that are members of `event:<id>`: its list, and whom its password let in."""
    return set((await connection.execute(select(SpaceRole.account).where(_is_member(event_id)))).scalars())


async def let_in(connection: AsyncConnection, event_id: str, accounts: Collection[str], by: str) -> None:
    """Makes the accounts members of `event:<id>`; who has a role there keeps it."""
    rows = [
        {"space_type": "event", "space_id": event_id, "account": account, "role": "member", "given_by": by}
        for account in sorted(accounts)
    ]
    if rows:
        await connection.execute(insert(SpaceRole).values(rows).on_conflict_do_nothing())


async def shut_out(connection: AsyncConnection, event_id: str, accounts: Collection[str]) -> None:
    """Takes the membership of the accounts away."""
    if accounts:
        await connection.execute(delete(SpaceRole).where(_is_member(event_id), SpaceRole.account.in_(accounts)))


async def forget_password(connection: AsyncConnection, event_id: str) -> None:
    """Takes the membership of all away whom the password let in."""
    await connection.execute(delete(SpaceRole).where(_is_member(event_id), SpaceRole.given_by == BY_PASSWORD))


def _is_member(event_id: str) -> ColumnElement[bool]:
    return and_(SpaceRole.space_type == "event", SpaceRole.space_id == event_id, SpaceRole.role == "member")


async def due_reminders(connection: AsyncConnection, ahead: timedelta, limit: int) -> list[Row[Any]]:
    """Returns events that begin within `ahead` and of which nobody was reminded; another replica's are left out."""
    statement = (
        select(ScheduledEvent)
        .where(ScheduledEvent.reminded_at.is_(None), ScheduledEvent.starts_at <= func.now() + ahead)
        .order_by(ScheduledEvent.starts_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list((await connection.execute(statement)).all())


async def due_closings(connection: AsyncConnection, limit: int) -> list[Row[Any]]:
    """Returns events whose time is over and whose people were not put out; another replica's are left out."""
    statement = (
        select(ScheduledEvent)
        .where(ScheduledEvent.closed_at.is_(None), ScheduledEvent.closes_at <= func.now())
        .order_by(ScheduledEvent.closes_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list((await connection.execute(statement)).all())


async def due_places(connection: AsyncConnection, limit: int) -> list[Row[Any]]:
    """Returns, locked, events ahead where some wait and others might go; another replica's are left out."""
    statement = (
        select(ScheduledEvent)
        .where(
            ScheduledEvent.waiting > 0,
            or_(ScheduledEvent.capacity.is_(None), ScheduledEvent.going < ScheduledEvent.capacity),
            ScheduledEvent.cancelled_at.is_(None),
            ScheduledEvent.ends_at > func.now(),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list((await connection.execute(statement)).all())


async def mark(connection: AsyncConnection, event_ids: Collection[str], column: str) -> None:
    """Sets `reminded_at` or `closed_at` of the events to now."""
    statement = update(ScheduledEvent).where(ScheduledEvent.id.in_(event_ids))
    await connection.execute(statement.values({column: func.now()}))


async def delete_over(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Deletes events that were closed before a moment, with places, roles and settings; returns how many."""
    over = select(ScheduledEvent.id).where(ScheduledEvent.closed_at < before).limit(limit)
    ids = list((await connection.execute(over.with_for_update(skip_locked=True))).scalars())
    if ids:
        await connection.execute(delete(EventPlace).where(EventPlace.event_id.in_(ids)))
        for table in (SpaceRole, PresenceSpaceSettings):
            await connection.execute(delete(table).where(table.space_type == "event", table.space_id.in_(ids)))
        await connection.execute(delete(ScheduledEvent).where(ScheduledEvent.id.in_(ids)))
    return len(ids)
