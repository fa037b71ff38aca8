"""A read cursor for each subspace. What was read before, up to a number of the space, stays read in all of them."""

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: None = None
depends_on: None = None

READERS = "presence_spaces_auth, presence_sync_worker, presence_webhook_dispatcher"


def upgrade() -> None:
    op.create_table(
        "subspace_read_cursors",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("subspace", sa.Text(), nullable=False),
        sa.Column("last_read_message_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("last_read_seq", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account", "space_type", "space_id", "subspace", name="pk_subspace_read_cursors"),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON subspace_read_cursors TO presence_chat")
    op.execute(f"GRANT SELECT ON subspace_read_cursors TO {READERS}")
    op.drop_index("ix_chat_messages_unread", "chat_messages")


def downgrade() -> None:
    op.create_index(
        "ix_chat_messages_unread",
        "chat_messages",
        ["space_type", "space_id", "seq"],
        postgresql_where=sa.text("parent_message_id IS NULL AND NOT is_deleted"),
    )
    op.drop_table("subspace_read_cursors")
