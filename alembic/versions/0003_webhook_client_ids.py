"""The key behind a subscription's `client_message_id`: the same one gives the same subscription."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.add_column("webhook_subscriptions", sa.Column("client_message_id", sa.Text(), nullable=True))
    op.create_unique_constraint(
        "uq_webhook_subscriptions_client_id", "webhook_subscriptions", ["created_by", "client_message_id"]
    )


def downgrade() -> None:
    op.drop_constraint("uq_webhook_subscriptions_client_id", "webhook_subscriptions")
    op.drop_column("webhook_subscriptions", "client_message_id")
