"""What was seen at the primary, what waits for a confirmation; who may comment and edit, and numbers of documents."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.add_column("sync_state", sa.Column("required", JSONB(), nullable=True))
    op.add_column("sync_state", sa.Column("closed_rows", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("sync_state", sa.Column("confirmed_deletes", sa.BigInteger(), nullable=True))
    # Until the next cycle has read what the primary says, nobody but the creator comments.
    for name in ("comment_permissions", "edit_permissions"):
        column = sa.Column(name, sa.Text(), server_default="creator_only", nullable=False)
        op.add_column("collaboration_documents", column)
    op.add_column("collaboration_documents", sa.Column("number", sa.BigInteger(), nullable=True))
    op.create_index("ix_collaboration_documents_number", "collaboration_documents", ["number"])


def downgrade() -> None:
    op.drop_index("ix_collaboration_documents_number", "collaboration_documents")
    for name in ("number", "edit_permissions", "comment_permissions"):
        op.drop_column("collaboration_documents", name)
    for name in ("confirmed_deletes", "closed_rows", "required"):
        op.drop_column("sync_state", name)
