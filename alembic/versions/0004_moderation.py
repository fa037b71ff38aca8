"""Moderation: bans by address range, who has to leave, and an audit trail that is only ever added to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: None = None
depends_on: None = None

WRITER = "presence_spaces_auth"


def upgrade() -> None:
    op.add_column("space_sanctions", sa.Column("address_range", postgresql.CIDR(), nullable=True))
    op.add_column("space_sanctions", sa.Column("beats", sa.SmallInteger(), server_default="5", nullable=False))
    op.create_table(
        "space_removals",
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("address_range", postgresql.CIDR(), nullable=True),
        sa.Column("beats", sa.SmallInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "subject_kind IN ('account', 'guest', 'address')", name=op.f("ck_space_removals_subject_kind")
        ),
        sa.PrimaryKeyConstraint("space_type", "space_id", "seq", "subject_kind", name=op.f("pk_space_removals")),
    )
    op.create_index("ix_space_removals_created_at", "space_removals", ["created_at"])
    op.create_table(
        "moderation_audit",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("details", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("client_message_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_moderation_audit")),
        sa.UniqueConstraint("actor", "client_message_id", name="uq_moderation_audit_client_id"),
    )
    op.create_index(
        "ix_moderation_audit_space", "moderation_audit", ["space_type", "space_id", sa.literal_column("id DESC")]
    )
    op.execute(f"GRANT SELECT ON space_removals, moderation_audit TO {WRITER}")
    op.execute(f"GRANT INSERT, DELETE ON space_removals TO {WRITER}")
    op.execute(f"GRANT INSERT ON moderation_audit TO {WRITER}")


def downgrade() -> None:
    op.drop_table("moderation_audit")
    op.drop_table("space_removals")
    op.drop_column("space_sanctions", "beats")
    op.drop_column("space_sanctions", "address_range")
