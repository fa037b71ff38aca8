"""How clients' connections came about: the success rate of calls."""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: None = None
depends_on: None = None

WRITER = "presence_spaces_auth"


def upgrade() -> None:
    op.create_table(
        "webrtc_reports",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=True),
        sa.Column("space_id", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("media", sa.Text(), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("outcome IN ('connected', 'failed')", name=op.f("ck_webrtc_reports_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webrtc_reports")),
    )
    op.create_index("ix_webrtc_reports_created_at", "webrtc_reports", ["created_at"])
    op.execute(f"GRANT SELECT, INSERT, DELETE ON webrtc_reports TO {WRITER}")


def downgrade() -> None:
    op.drop_table("webrtc_reports")
