"""Events where somebody waits for a place are found: the primary may make room without telling."""

import sqlalchemy as sa
from alembic import op

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: None = None
depends_on: None = None

INDEX, TABLE = "ix_scheduled_events_waiting", "scheduled_events"


def upgrade() -> None:
    op.create_index(INDEX, TABLE, ["id"], postgresql_where=sa.text("waiting > 0"))


def downgrade() -> None:
    op.drop_index(INDEX, TABLE)
