"""New URLs are asked whether they want webhooks; those that are subscribed already are not."""

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: None = None
depends_on: None = None

TABLE = "webhook_subscriptions"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("unverified", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column(TABLE, sa.Column("ping_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(TABLE, sa.Column("pings", sa.Integer(), server_default="0", nullable=False))
    op.add_column(TABLE, sa.Column("ping_error", sa.Text(), nullable=True))
    op.create_index(
        "ix_webhook_subscriptions_ping", TABLE, ["ping_at"], postgresql_where=sa.text("ping_at IS NOT NULL")
    )


def downgrade() -> None:
    op.execute(f"UPDATE {TABLE} SET active = true WHERE ping_at IS NOT NULL")
    op.drop_index("ix_webhook_subscriptions_ping", TABLE)
    for name in ("ping_error", "pings", "ping_at", "unverified"):
        op.drop_column(TABLE, name)
