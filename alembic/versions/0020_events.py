"""Events with their places, and the communities of Hive: before, every well-formed name of one existed."""

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: None = None
depends_on: None = None

WRITER = "presence_spaces_auth"
READERS = "presence_chat, presence_sync_worker, presence_webhook_dispatcher"
TABLES = ("scheduled_events", "event_places", "event_notices", "communities", "community_team")
KINDS = "'mention', 'reply', 'message'"
EVENT_KINDS = "'event_reminder', 'event_place', 'event_cancelled'"
NOW = sa.text("now()")


def upgrade() -> None:
    _create_events()
    _create_communities()
    op.add_column("notifications", sa.Column("title", sa.Text(), nullable=True))
    _allow_kinds(f"{KINDS}, {EVENT_KINDS}")
    for table in TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {WRITER}")
        op.execute(f"GRANT SELECT ON {table} TO {READERS}")


def _allow_kinds(kinds: str) -> None:
    op.drop_constraint(op.f("ck_notifications_kind"), "notifications", type_="check")
    op.create_check_constraint(op.f("ck_notifications_kind"), "notifications", f"kind IN ({kinds})")


def _create_events() -> None:
    op.create_table(
        "scheduled_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("doors_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=True),
        sa.Column("access", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sequence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_place", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("going", sa.Integer(), server_default="0", nullable=False),
        sa.Column("waiting", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint("access IN ('open', 'list', 'password')", name=op.f("ck_scheduled_events_access")),
        sa.PrimaryKeyConstraint("id", name="pk_scheduled_events"),
    )
    op.create_index("ix_scheduled_events_starts_at", "scheduled_events", ["starts_at", "id"])
    op.create_index("ix_scheduled_events_ends_at", "scheduled_events", ["ends_at"])
    op.create_index("ix_scheduled_events_host", "scheduled_events", ["host", "ends_at"])
    for name, column in (("reminded", "starts_at"), ("closed", "closes_at")):
        undone = sa.text(f"{name}_at IS NULL")
        op.create_index(f"ix_scheduled_events_un{name}", "scheduled_events", [column], postgresql_where=undone)
    op.create_table(
        "event_places",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("going", sa.Boolean(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("event_id", "account", name="pk_event_places"),
    )
    op.create_index("ix_event_places_order", "event_places", ["event_id", "going", "number"])
    op.create_index("ix_event_places_account", "event_places", ["account"])
    op.create_table(
        "event_notices",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("accounts", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event_notices"),
    )
    op.create_index("ix_event_notices_created_at", "event_notices", ["created_at"])


def _create_communities() -> None:
    op.create_table(
        "communities",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_communities"),
    )
    op.create_index("ix_communities_asked_at", "communities", ["asked_at"])
    op.create_table(
        "community_team",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.CheckConstraint("role IN ('owner', 'moderator')", name=op.f("ck_community_team_role")),
        sa.PrimaryKeyConstraint("name", "account", name="pk_community_team"),
    )


def downgrade() -> None:
    op.execute(f"DELETE FROM notifications WHERE kind IN ({EVENT_KINDS})")
    _allow_kinds(KINDS)
    op.drop_column("notifications", "title")
    for table in reversed(TABLES):
        op.drop_table(table)
