"""Webhooks may be signed with a key pair too."""

import sqlalchemy as sa
from alembic import op

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: None = None
depends_on: None = None

TABLE = "webhook_subscriptions"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("signing_key_sealed", sa.LargeBinary(), nullable=True))
    op.add_column(TABLE, sa.Column("public_key", sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ("public_key", "signing_key_sealed"):
        op.drop_column(TABLE, name)
