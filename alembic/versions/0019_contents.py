"""What a post shows, kept as it came from Hive; and when each post is asked for again."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: None = None
depends_on: None = None

WRITER = "presence_sync_worker"
READERS = ("presence_spaces_auth", "presence_chat", "presence_webhook_dispatcher", "presence_backup")


def upgrade() -> None:
    op.add_column("posts", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("posts", sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("posts", sa.Column("misses", sa.Integer(), server_default="0", nullable=False))
    op.create_index("ix_posts_block", "posts", ["block"])
    op.create_index("ix_posts_unasked", "posts", ["block"], postgresql_where=sa.text("asked_at IS NULL"))
    op.create_index("ix_posts_due", "posts", ["due_at"])
    op.create_table(
        "post_contents",
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("permlink", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("details", JSONB(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("author", "permlink", name="pk_post_contents"),
        sa.ForeignKeyConstraint(
            ["author", "permlink"],
            ["posts.author", "posts.permlink"],
            name="fk_post_contents_author",
            ondelete="CASCADE",
        ),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON post_contents TO {WRITER}")
    op.execute(f"GRANT SELECT ON post_contents TO {', '.join(READERS)}")


def downgrade() -> None:
    op.drop_table("post_contents")
    for name in ("due", "unasked", "block"):
        op.drop_index(f"ix_posts_{name}", "posts")
    for name in ("misses", "due_at", "asked_at"):
        op.drop_column("posts", name)
