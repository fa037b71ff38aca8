"""Events and the places at them, and the communities that somebody visited. Writer: spaces_auth."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.db.models.base import Base, CreatedAt, Uuid


class ScheduledEvent(Base):
    """An event that an account holds. The space `event:<id>` exists as long as this row.

    `space_type` and `space_id` are where it happens. From `doors_at` to `closes_at` people enter `event:<id>`;
    `closed_at` is set once those who were inside then were put out. `sequence` counts changes (RFC 5545);
    `last_place` is the last number of a place that was given out, `going` and `waiting` are how many have one of each.
    One that is held at the primary (`from_primary`) is changed there and not here.
    """

    __tablename__ = "scheduled_events"
    __table_args__ = (
        CheckConstraint("access IN ('open', 'list', 'password')", name="access"),
        Index("ix_scheduled_events_starts_at", "starts_at", "id"),
        Index("ix_scheduled_events_ends_at", "ends_at"),
        Index("ix_scheduled_events_host", "host", "ends_at"),
        Index("ix_scheduled_events_unreminded", "starts_at", postgresql_where=text("reminded_at IS NULL")),
        Index("ix_scheduled_events_unclosed", "closes_at", postgresql_where=text("closed_at IS NULL")),
        Index("ix_scheduled_events_waiting", "id", postgresql_where=text("waiting > 0")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    space_type: Mapped[str]
    space_id: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    doors_at: Mapped[datetime]
    closes_at: Mapped[datetime]
    capacity: Mapped[int | None]
    access: Mapped[str]
    password_hash: Mapped[str | None]
    cancelled_at: Mapped[datetime | None]
    reminded_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    from_primary: Mapped[bool] = mapped_column(server_default=text("false"))
    sequence: Mapped[int] = mapped_column(server_default="0")
    last_place: Mapped[int] = mapped_column(BigInteger, server_default="0")
    going: Mapped[int] = mapped_column(server_default="0")
    waiting: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class EventPlace(Base):
    """An account's place at an event, or in its waiting list. `number` is the order in which they came."""

    __tablename__ = "event_places"
    __table_args__ = (
        Index("ix_event_places_order", "event_id", "going", "number"),
        Index("ix_event_places_account", "account"),
    )

    event_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    going: Mapped[bool]
    taken_at: Mapped[CreatedAt]


class EventNotice(Base):
    """What accounts are to be notified of an event; chat reads it and makes the notifications. Kept for a day."""

    __tablename__ = "event_notices"
    __table_args__ = (Index("ix_event_notices_created_at", "created_at"),)

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    kind: Mapped[str]
    event_id: Mapped[str]
    host: Mapped[str]
    title: Mapped[str]
    accounts: Mapped[list[str]]
    created_at: Mapped[CreatedAt]


class Community(Base):
    """A community of Hive that somebody visited. `asked_at` is when Hive told of it last, or was asked in vain."""

    __tablename__ = "communities"
    __table_args__ = (Index("ix_communities_asked_at", "asked_at"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    about: Mapped[str]
    told_at: Mapped[CreatedAt]
    asked_at: Mapped[CreatedAt]


class CommunityMember(Base):
    """An account of a community's team with the role that Hive gives it there."""

    __tablename__ = "community_team"
    __table_args__ = (CheckConstraint("role IN ('owner', 'moderator')", name="role"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
