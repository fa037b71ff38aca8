"""Where the primary stood when a table was equal last: a cycle reads what was written since."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.add_column("sync_state", sa.Column("position", JSONB(), nullable=True))
    op.execute("UPDATE sync_state SET watermark = NULL WHERE table_name <> 'access_epochs'")  # of another form


def downgrade() -> None:
    op.drop_column("sync_state", "position")
