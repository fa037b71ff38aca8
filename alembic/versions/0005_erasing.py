"""What was deleted leaves no words in the log; a comment's former words are kept until then.

`event_log.subject` is the message or comment whose words an event holds, so that they are found when they are taken
back; that is the one change that is ever made to what an event says.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: None = None
depends_on: None = None

WRITER = "presence_chat"


def upgrade() -> None:
    op.add_column("event_log", sa.Column("subject", sa.UUID(as_uuid=False), nullable=True))
    op.create_index("ix_event_log_subject", "event_log", ["subject"], postgresql_where=sa.text("subject IS NOT NULL"))
    op.execute("""
        UPDATE event_log SET subject = CAST(coalesce(payload->'comment'->>'id', payload->>'id') AS uuid)
        WHERE name IN ('chat.message_posted', 'chat.message_edited', 'documents.comment_changed')""")
    op.execute("""
        UPDATE event_log SET payload = payload || '{"content": null, "mentions": []}' FROM chat_messages m
        WHERE event_log.subject = m.id AND m.is_deleted""")
    op.execute("""
        UPDATE event_log SET payload = jsonb_set(payload, '{comment,content}', 'null') FROM document_comments c
        WHERE event_log.subject = c.id AND c.is_deleted""")
    op.execute(f"GRANT UPDATE (payload) ON event_log TO {WRITER}")
    op.create_table(
        "document_comment_edits",
        sa.Column("comment_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("edited_by", sa.Text(), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("comment_id", "id", name=op.f("pk_document_comment_edits")),
    )
    op.execute(f"GRANT SELECT, INSERT, DELETE ON document_comment_edits TO {WRITER}")


def downgrade() -> None:
    op.drop_table("document_comment_edits")
    op.execute(f"REVOKE UPDATE (payload) ON event_log FROM {WRITER}")
    op.drop_index("ix_event_log_subject", "event_log")
    op.drop_column("event_log", "subject")
