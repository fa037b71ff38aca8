"""One writer for each table: a role per service, enforced by grants.

Roles belong to the whole cluster, so they may exist already, and a downgrade leaves them.
"""

from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: None = None
depends_on: None = None

WRITERS = {
    "presence_spaces_auth": (
        "presence_sessions",
        "presence_space_settings",
        "space_roles",
        "space_sanctions",
        "space_activity",
        "signing_keys",
        "refresh_tokens",
    ),
    "presence_chat": (
        "chat_messages",
        "chat_message_edits",
        "message_reactions",
        "document_comments",
        "chat_subscriptions",
        "thread_read_cursors",
        "notifications",
        "chat_commands",
        "chat_pace",
        "chat_accounts",
    ),
    "presence_sync_worker": (
        "posts",
        "collaboration_documents",
        "collaboration_permissions",
        "presence_permissions",
        "sync_state",
    ),
    "presence_webhook_dispatcher": ("webhook_subscriptions", "webhook_deliveries", "webhook_attempts"),
}
SECRET = {  # read by their writer only
    "signing_keys": "presence_spaces_auth",
    "refresh_tokens": "presence_spaces_auth",
    "webhook_subscriptions": "presence_webhook_dispatcher",
    "webhook_deliveries": "presence_webhook_dispatcher",
}


def upgrade() -> None:
    for role, tables in WRITERS.items():
        op.execute(f"""
            DO $$ BEGIN CREATE ROLE {role} NOLOGIN;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
        """)
        op.execute(f"GRANT {role} TO CURRENT_USER")
        op.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        op.execute(f"GRANT INSERT, UPDATE, DELETE ON {', '.join(tables)} TO {role}")
        op.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}")
        # The log, its counters and the inbox: shared by design, reached through libs/common/db only.
        op.execute(f"GRANT INSERT, UPDATE ON space_counters TO {role}")
        op.execute(f"GRANT INSERT, UPDATE (published_at) ON event_log TO {role}")
        op.execute(f"GRANT INSERT, DELETE ON inbox TO {role}")
    for table, owner in SECRET.items():
        others = ", ".join(role for role in WRITERS if role != owner)
        op.execute(f"REVOKE SELECT ON {table} FROM {others}")


def downgrade() -> None:
    roles = ", ".join(WRITERS)
    op.execute(f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {roles}")
    op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {roles}")
    op.execute(f"REVOKE UPDATE (published_at) ON event_log FROM {roles}")
