"""Who is in a space, its settings, roles and sanctions, and what happened. Writer: spaces_auth."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.db.models.base import Base, CreatedAt, Uuid

DEFAULT_MAX_USERS = 1000


class PresenceSession(Base):
    """One socket's stay in a space. `last_activity` is null once it left; rows go after two hours."""

    __tablename__ = "presence_sessions"
    __table_args__ = (
        Index("ix_presence_sessions_space", "space_type", "space_id", "last_activity"),
        Index("ix_presence_sessions_last_activity", "last_activity"),
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    space_type: Mapped[str]
    space_id: Mapped[str]
    subspace: Mapped[str]
    socket_id: Mapped[str]
    replica_id: Mapped[str]
    user_account: Mapped[str | None]
    guest_id: Mapped[str | None]
    display_name: Mapped[str]
    joined_at: Mapped[CreatedAt]
    last_activity: Mapped[datetime | None]
    left_at: Mapped[datetime | None]
    leave_reason: Mapped[str | None]


class PresenceSpaceSettings(Base):
    """A space without a row has the defaults below."""

    __tablename__ = "presence_space_settings"

    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    chat_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    voice_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    guests_allowed: Mapped[bool] = mapped_column(server_default=text("true"))
    max_users: Mapped[int] = mapped_column(server_default=str(DEFAULT_MAX_USERS))
    slow_mode_seconds: Mapped[int] = mapped_column(server_default="0")
    audio: Mapped[dict[str, Any]] = mapped_column(server_default=text('\'{"mode": "ambient"}\''))
    spawn: Mapped[dict[str, Any]] = mapped_column(server_default=text('\'{"x": 0, "y": 0, "z": 0}\''))
    settings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    updated_by: Mapped[str | None]
    updated_at: Mapped[CreatedAt]


class SpaceRole(Base):
    """A role given here, by a space's owner."""

    __tablename__ = "space_roles"
    __table_args__ = (CheckConstraint("role IN ('moderator', 'member')", name="role"),)

    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    given_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class SpaceSanction(Base):
    """A ban or mute of an account, a guest or an address range, until a time or lifted."""

    __tablename__ = "space_sanctions"
    __table_args__ = (
        CheckConstraint("kind IN ('ban', 'mute')", name="kind"),
        CheckConstraint("subject_kind IN ('account', 'guest', 'address')", name="subject_kind"),
        Index("ix_space_sanctions_space", "space_type", "space_id", "subject_kind", "subject"),
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    space_type: Mapped[str]
    space_id: Mapped[str]
    kind: Mapped[str]
    subject_kind: Mapped[str]
    subject: Mapped[str]
    reason: Mapped[str]
    imposed_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]
    lifted_at: Mapped[datetime | None]


class SpaceActivity(Base):
    """What happened in spaces, written from the log's events; kept 30 days."""

    __tablename__ = "space_activity"
    __table_args__ = (
        Index("ix_space_activity_space", "space_type", "space_id", "occurred_at"),
        Index("ix_space_activity_occurred_at", "occurred_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    event_id: Mapped[Uuid] = mapped_column(unique=True)
    space_type: Mapped[str]
    space_id: Mapped[str]
    subspace: Mapped[str | None]
    activity: Mapped[str]
    user_account: Mapped[str | None]
    actor: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    occurred_at: Mapped[datetime]
