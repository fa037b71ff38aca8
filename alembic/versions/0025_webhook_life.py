"""The life of a webhook: paused, rotated, failing and told of it, sent again; and what its log asks for."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: None = None
depends_on: None = None

DISPATCHER, CHAT = "presence_webhook_dispatcher", "presence_chat"
KINDS = "'mention', 'reply', 'message', 'event_reminder', 'event_place', 'event_cancelled'"
WEBHOOK_KINDS = "'webhook_failing', 'webhook_ends_soon', 'webhook_disabled'"
NOW = sa.text("now()")
MOMENT = sa.DateTime(timezone=True)
COLUMNS = {
    "webhook_subscriptions": (
        lambda: sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        lambda: sa.Column("rotation_id", sa.Text(), nullable=True),
        lambda: sa.Column("rotated_at", MOMENT, nullable=True),
        lambda: sa.Column("failing_marks", sa.Integer(), server_default="0", nullable=False),
        lambda: sa.Column("failing_marked_at", MOMENT, nullable=True),
        lambda: sa.Column("told", sa.Integer(), server_default="0", nullable=False),
        lambda: sa.Column("redeliver_after", MOMENT, nullable=True),
    ),
    "webhook_deliveries": (
        lambda: sa.Column("redeliver_at", MOMENT, nullable=True),
        lambda: sa.Column("redelivery_tries", sa.Integer(), server_default="0", nullable=False),
    ),
    "webhook_attempts": (
        lambda: sa.Column("answer", sa.Text(), nullable=True),
        lambda: sa.Column("next_attempt_at", MOMENT, nullable=True),
        lambda: sa.Column("by_hand", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    ),
    "notifications": (lambda: sa.Column("link", sa.Text(), nullable=True),),
}


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for column in columns:
            op.add_column(table, column())
    _create_notices()
    _allow_kinds(f"{KINDS}, {WEBHOOK_KINDS}")
    _create_indexes()


def _create_indexes() -> None:
    newest = sa.text("id DESC")
    with op.get_context().autocommit_block():
        _index("unfinished", ["subscription_id", "status", newest], "status <> 'delivered'")
        _index("event", ["subscription_id", "event", newest])
        _index("redeliver", ["subscription_id", "redeliver_at"], "redeliver_at IS NOT NULL")
    op.create_index(
        "ix_webhook_subscriptions_failing",
        "webhook_subscriptions",
        ["failing_since"],
        postgresql_where=sa.text("failing_since IS NOT NULL"),
    )
    op.create_index("ix_webhook_subscriptions_all_of_space", "webhook_subscriptions", ["space_type", "space_id"])


def _index(name: str, columns: list[Any], where: str | None = None) -> None:
    """Makes an index of deliveries without holding up whoever plans or sends."""
    name, is_of = f"ix_webhook_deliveries_{name}", sa.text(where) if where else None
    op.drop_index(name, "webhook_deliveries", if_exists=True, postgresql_concurrently=True)  # half made
    op.create_index(name, "webhook_deliveries", columns, postgresql_where=is_of, postgresql_concurrently=True)


def _create_notices() -> None:
    op.create_table(
        "webhook_notices",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint(f"kind IN ({WEBHOOK_KINDS})", name=op.f("ck_webhook_notices_kind")),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_notices"),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_notices TO {DISPATCHER}")
    op.execute(f"GRANT SELECT ON webhook_notices TO {CHAT}")


def _allow_kinds(kinds: str) -> None:
    op.drop_constraint(op.f("ck_notifications_kind"), "notifications", type_="check")
    op.create_check_constraint(op.f("ck_notifications_kind"), "notifications", f"kind IN ({kinds})")


def downgrade() -> None:
    op.execute(f"DELETE FROM notifications WHERE kind IN ({WEBHOOK_KINDS})")
    _allow_kinds(KINDS)
    op.drop_table("webhook_notices")
    for name in ("all_of_space", "failing"):
        op.drop_index(f"ix_webhook_subscriptions_{name}", "webhook_subscriptions")
    for name in ("redeliver", "event", "unfinished"):
        op.drop_index(f"ix_webhook_deliveries_{name}", "webhook_deliveries")
    for table, columns in COLUMNS.items():
        for column in columns:
            op.drop_column(table, column().name)
