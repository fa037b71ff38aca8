"""The stays in spaces, their settings, roles and sanctions, and their history. Writer: spaces_auth."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import CIDR
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
    """A ban or mute of an account, a guest or an address range, until a time or lifted.

    It hits roles below `beats` (the numbers of `access.Role`): who moderates cannot shut the owner out by an address.
    `address_range` is the subject of an address, and null otherwise.
    """

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
    address_range: Mapped[str | None] = mapped_column(CIDR)
    beats: Mapped[int] = mapped_column(SmallInteger, server_default="5")
    reason: Mapped[str]
    imposed_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]
    lifted_at: Mapped[datetime | None]


class SpaceRemoval(Base):
    """A kick: people whom the subject names and who were in the space before `seq` have to leave. Kept for a day.

    `code` is what they are told: kicked, banned or left. `beats` and `address_range` are a sanction's.
    """

    __tablename__ = "space_removals"
    __table_args__ = (
        CheckConstraint("subject_kind IN ('account', 'guest', 'address')", name="subject_kind"),
        Index("ix_space_removals_created_at", "created_at"),
    )

    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    subject_kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    address_range: Mapped[str | None] = mapped_column(CIDR)
    beats: Mapped[int] = mapped_column(SmallInteger)
    code: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[CreatedAt]


class ModerationAudit(Base):
    """The audit trail of a space. Rows are only ever added, by grant; `id` is also that of the sanction it made.

    `actor` is an `Identity.key`; the same command of the same actor is one row.
    """

    __tablename__ = "moderation_audit"
    __table_args__ = (
        UniqueConstraint("actor", "client_message_id", name="uq_moderation_audit_client_id"),
        Index("ix_moderation_audit_space", "space_type", "space_id", text("id DESC")),
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    space_type: Mapped[str]
    space_id: Mapped[str]
    action: Mapped[str]
    actor: Mapped[str]
    subject_kind: Mapped[str | None]
    subject: Mapped[str | None]
    reason: Mapped[str | None]
    until: Mapped[datetime | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    client_message_id: Mapped[str | None]
    created_at: Mapped[CreatedAt]


class SpaceActivity(Base):
    """The activity in spaces, written from the log's events; kept 30 days."""

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


class WebrtcReport(Base):
    """How one attempt to connect two clients ended, as one of them says; kept 30 days. Nobody is named."""

    __tablename__ = "webrtc_reports"
    __table_args__ = (
        CheckConstraint("outcome IN ('connected', 'failed')", name="outcome"),
        Index("ix_webrtc_reports_created_at", "created_at"),
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    space_type: Mapped[str | None]
    space_id: Mapped[str | None]
    outcome: Mapped[str]
    path: Mapped[str]
    media: Mapped[str]
    milliseconds: Mapped[int | None]
    created_at: Mapped[CreatedAt]
