"""Where who is in a space stood last, as what, and whether with a voice."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: None = None
depends_on: None = None

COLUMNS = ("position", "avatar_data", "voice")


def upgrade() -> None:
    for column in COLUMNS:
        op.add_column("presence_sessions", sa.Column(column, JSONB(none_as_null=True), nullable=True))


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_column("presence_sessions", column)
