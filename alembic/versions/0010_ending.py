"""What visits leave in the log and in the counters ends; a counter that is removed gives no number out again."""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: None = None
depends_on: None = None

PRUNER = "presence_spaces_auth"
STAYS = "name IN ('spaces.member_joined', 'spaces.member_left')"


def upgrade() -> None:
    moment = sa.Column("used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    op.add_column("space_counters", moment)
    op.create_index("ix_event_log_stays", "event_log", ["occurred_at"], postgresql_where=sa.text(STAYS))
    op.create_index("ix_presence_sessions_left_at", "presence_sessions", ["left_at"])
    op.execute(f"GRANT DELETE ON event_log, space_counters TO {PRUNER}")


def downgrade() -> None:
    op.execute(f"REVOKE DELETE ON event_log, space_counters FROM {PRUNER}")
    op.drop_index("ix_presence_sessions_left_at", "presence_sessions")
    op.drop_index("ix_event_log_stays", "event_log")
    op.drop_column("space_counters", "used_at")
