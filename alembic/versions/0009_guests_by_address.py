"""A ban or mute of a guest holds for other guests of its address: a guest's id costs nothing."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.add_column("space_sanctions", sa.Column("guest_range", postgresql.CIDR(), nullable=True))


def downgrade() -> None:
    op.drop_column("space_sanctions", "guest_range")
