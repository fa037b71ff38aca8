"""The stays in spaces, their settings, roles and sanctions, and their history. Writer: spaces_auth."""

from datetime import date, datetime
from typing import Annotated, Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import CIDR, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.db.models.base import Base, CreatedAt, Uuid

DEFAULT_MAX_USERS = 1000
State = Annotated[Any, mapped_column(JSONB(none_as_null=True), nullable=True)]
Count = Annotated[int, mapped_column(BigInteger, server_default="0")]


class PresenceSession(Base):
    """One socket's stay in a space. `last_activity` is null once it left; rows go after two hours.

    `position` {x, y, z} in metres, `avatar_data` and `voice` {enabled, muted, screen} are of the last report: that of
    joining, or of the heartbeat of each minute.
    """

    __tablename__ = "presence_sessions"
    __table_args__ = (
        Index("ix_presence_sessions_space", "space_type", "space_id", "last_activity"),
        Index("ix_presence_sessions_last_activity", "last_activity"),
        Index("ix_presence_sessions_left_at", "left_at"),
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
    position: Mapped[State]
    avatar_data: Mapped[State]
    voice: Mapped[State]


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
    `address_range` is the subject of an address, and null otherwise. `guest_range` is where a guest who is the subject
    came from: the sanction holds for other guests from there, and is shown to nobody.
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
    guest_range: Mapped[str | None] = mapped_column(CIDR)
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
    """The activity in spaces, written from the log's events; kept 30 days. Views read the sums of it below."""

    __tablename__ = "space_activity"
    __table_args__ = (
        Index("ix_space_activity_space", "space_type", "space_id", "occurred_at"),
        Index("ix_space_activity_occurred_at", "occurred_at"),
        Index("ix_space_activity_unsummed", "id", postgresql_where=text("NOT summed")),
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
    summed: Mapped[bool] = mapped_column(server_default=text("false"))


class SpaceDay(Base):
    """The activity of a space on a day (UTC), summed; of all spaces where type and id are empty. Kept 30 days.

    `people` were active on the day. Of the `last_` columns each counts those whose last visit, act, or word on a
    document was on the day, so that the sum of some days up to today counts everybody of those days once.
    """

    __tablename__ = "space_days"
    __table_args__ = (
        Index("ix_space_days_people", "day", text("people DESC")),
        Index("ix_space_days_documents", "day", text("people DESC"), postgresql_where=text("space_type = 'document'")),
    )

    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    visits: Mapped[Count]
    messages: Mapped[Count]
    reactions: Mapped[Count]
    comments: Mapped[Count]
    stays: Mapped[Count]
    stay_seconds: Mapped[Count]
    people: Mapped[Count]
    last_visitors: Mapped[Count]
    last_people: Mapped[Count]
    last_writers: Mapped[Count]


class SpacePerson(Base):
    """The days on which somebody (`Identity.key`) last visited a space, did anything there, wrote on it. 30 days."""

    __tablename__ = "space_people"
    __table_args__ = (Index("ix_space_people_active_on", "active_on"),)

    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(primary_key=True)
    visited_on: Mapped[date | None]
    active_on: Mapped[date]
    wrote_on: Mapped[date | None]


class SpaceMove(Base):
    """How often people went from one space to another on a day. `last_people`: see `SpaceDay`. Kept 30 days."""

    __tablename__ = "space_moves"
    __table_args__ = (
        Index("ix_space_moves_times", "day", text("times DESC")),
        Index("ix_space_moves_from", "from_type", "from_id", "day", text("times DESC")),
        Index("ix_space_moves_to", "to_type", "to_id", "day", text("times DESC")),
    )

    from_type: Mapped[str] = mapped_column(primary_key=True)
    from_id: Mapped[str] = mapped_column(primary_key=True)
    to_type: Mapped[str] = mapped_column(primary_key=True)
    to_id: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    times: Mapped[Count]
    last_people: Mapped[Count]


class MovePerson(Base):
    """The day on which somebody last went from one space to another. Kept 30 days."""

    __tablename__ = "move_people"
    __table_args__ = (Index("ix_move_people_moved_on", "moved_on"),)

    from_type: Mapped[str] = mapped_column(primary_key=True)
    from_id: Mapped[str] = mapped_column(primary_key=True)
    to_type: Mapped[str] = mapped_column(primary_key=True)
    to_id: Mapped[str] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(primary_key=True)
    moved_on: Mapped[date]


class VisitorPlace(Base):
    """The space that somebody entered last. Kept 30 days."""

    __tablename__ = "visitor_places"
    __table_args__ = (Index("ix_visitor_places_entered_at", "entered_at"),)

    actor: Mapped[str] = mapped_column(primary_key=True)
    space_type: Mapped[str]
    space_id: Mapped[str]
    entered_at: Mapped[datetime]


class WebrtcDay(Base):
    """How attempts to connect two clients ended on a day (UTC), as clients say; of all where type and id are empty.

    Nobody is named. `milliseconds` has two digits of its value (1234 is 1200), so that a day has few rows whatever is
    reported; -1 where nothing was said. Kept 30 days.
    """

    __tablename__ = "webrtc_days"
    __table_args__ = (
        CheckConstraint("outcome IN ('connected', 'failed')", name="outcome"),
        Index("ix_webrtc_days_day", "day"),
    )

    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    media: Mapped[str] = mapped_column(primary_key=True)
    milliseconds: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    reports: Mapped[Count]
