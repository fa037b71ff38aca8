"""The whole schema: replica, chat, presence, the log, and what sign-in, roles and delivery add."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


_TABLES = (  # children before what they refer to
    "webhook_attempts",
    "webhook_deliveries",
    "message_reactions",
    "chat_message_edits",
    "webhook_subscriptions",
    "thread_read_cursors",
    "sync_state",
    "space_sanctions",
    "space_roles",
    "space_counters",
    "space_activity",
    "signing_keys",
    "refresh_tokens",
    "presence_space_settings",
    "presence_sessions",
    "presence_permissions",
    "posts",
    "notifications",
    "inbox",
    "event_log",
    "document_comments",
    "collaboration_permissions",
    "collaboration_documents",
    "chat_subscriptions",
    "chat_pace",
    "chat_commands",
    "chat_accounts",
    "chat_messages",
)


def upgrade() -> None:
    op.create_table(
        "chat_messages",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("subspace", sa.Text(), nullable=False),
        sa.Column("author_key", sa.Text(), nullable=False),
        sa.Column("user_account", sa.Text(), nullable=True),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("message_type", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("parent_message_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("thread_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reactions", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("mentions", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("is_edited", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("deleted_by", sa.Text(), nullable=True),
        sa.Column("client_message_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_messages")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(
        "ix_chat_messages_unread",
        "chat_messages",
        ["space_type", "space_id", "seq"],
        postgresql_where=sa.text("parent_message_id IS NULL AND NOT is_deleted"),
    )
    op.create_index(
        "ix_chat_messages_search",
        "chat_messages",
        [sa.text("to_tsvector('simple'::regconfig, content)")],
        postgresql_using="gin",
    )
    op.create_index("ix_chat_messages_created_at", "chat_messages", ["created_at"])
    op.create_index(
        "ix_chat_messages_page",
        "chat_messages",
        ["space_type", "space_id", "subspace", sa.literal_column("seq DESC")],
    )
    op.create_index(
        "ix_chat_messages_thread",
        "chat_messages",
        ["parent_message_id", "seq"],
        postgresql_where=sa.text("parent_message_id IS NOT NULL"),
    )
    op.create_table(
        "chat_subscriptions",
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), server_default="mentions", nullable=False),
        sa.Column("last_read_message_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("last_read_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("level IN ('all', 'mentions', 'none')", name=op.f("ck_chat_subscriptions_level")),
        sa.PrimaryKeyConstraint("space_type", "space_id", "account", name=op.f("pk_chat_subscriptions")),
    )
    op.create_index("ix_chat_subscriptions_account", "chat_subscriptions", ["account"])
    op.create_index(
        "ix_chat_subscriptions_all",
        "chat_subscriptions",
        ["space_type", "space_id"],
        postgresql_where=sa.text("level = 'all'"),
    )
    op.create_table(
        "chat_commands",
        sa.Column("author_key", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("client_message_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("author_key", "command", "scope", "client_message_id", name=op.f("pk_chat_commands")),
    )
    op.create_index("ix_chat_commands_created_at", "chat_commands", ["created_at"], postgresql_using="brin")
    op.create_table(
        "chat_pace",
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("author_key", sa.Text(), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("space_type", "space_id", "author_key", name=op.f("pk_chat_pace")),
    )
    op.create_table(
        "chat_accounts",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_chat_accounts")),
    )
    op.create_table(
        "collaboration_documents",
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("creator", sa.Text(), nullable=False),
        sa.Column("is_public", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_activity", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("row_hash", sa.Text(), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("space_id", name=op.f("pk_collaboration_documents")),
    )
    op.create_table(
        "collaboration_permissions",
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("permission", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.Text(), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("space_id", "account", name=op.f("pk_collaboration_permissions")),
    )
    op.create_index("ix_collaboration_permissions_account", "collaboration_permissions", ["account"])
    op.create_table(
        "document_comments",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("author_key", sa.Text(), nullable=False),
        sa.Column("user_account", sa.Text(), nullable=True),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("comment_type", sa.Text(), server_default="comment", nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("section", sa.Text(), nullable=True),
        sa.Column("position", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("parent_comment_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("thread_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("is_edited", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("client_message_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "comment_type IN ('comment', 'suggestion', 'approval', 'question')",
            name=op.f("ck_document_comments_comment_type"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document_comments")),
    )
    op.create_index("ix_document_comments_page", "document_comments", ["document_id", "seq"])
    op.create_index("ix_document_comments_thread", "document_comments", ["parent_comment_id"])
    op.create_table(
        "event_log",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("subspace", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_log")),
        sa.UniqueConstraint("space_type", "space_id", "seq", name="uq_event_log_seq"),
    )
    op.create_index("ix_event_log_occurred_at", "event_log", ["occurred_at"])
    op.create_index(
        "ix_event_log_unpublished", "event_log", ["id"], unique=False, postgresql_where=sa.text("published_at IS NULL")
    )
    op.create_table(
        "inbox",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("event_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "event_id", name=op.f("pk_inbox")),
    )
    op.create_index("ix_inbox_handled_at", "inbox", ["handled_at"])
    op.create_table(
        "notifications",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("subspace", sa.Text(), nullable=False),
        sa.Column("message_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('mention', 'reply', 'message')", name=op.f("ck_notifications_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("message_id", "account", name="uq_notifications_message"),
    )
    op.create_index("ix_notifications_account", "notifications", ["account", sa.literal_column("id DESC")])
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["account", sa.literal_column("id DESC")],
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_index("ix_notifications_created_at", "notifications", ["created_at"], postgresql_using="brin")
    op.create_table(
        "posts",
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("permlink", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=True),
        sa.Column("votes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("voteweight", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("promote", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("paid", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("rating", sa.Double(), server_default="0", nullable=False),
        sa.Column("ratings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("nsfw", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("sensitive", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("hidden", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("featured", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("flagged", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("flag_reason", sa.Text(), nullable=True),
        sa.Column("moderated_by", sa.Text(), nullable=True),
        sa.Column("moderated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("remix_cid", sa.Text(), nullable=True),
        sa.Column("license", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("row_hash", sa.Text(), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("author", "permlink", name=op.f("pk_posts")),
    )
    op.create_index("ix_posts_type_votes", "posts", ["type", sa.literal_column("votes DESC")])
    op.create_index("ix_posts_votes", "posts", [sa.literal_column("votes DESC"), "author", "permlink"])
    op.create_table(
        "presence_permissions",
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("permission", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.Text(), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("space_type", "space_id", "account", name=op.f("pk_presence_permissions")),
    )
    op.create_table(
        "presence_sessions",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("subspace", sa.Text(), nullable=False),
        sa.Column("socket_id", sa.Text(), nullable=False),
        sa.Column("replica_id", sa.Text(), nullable=False),
        sa.Column("user_account", sa.Text(), nullable=True),
        sa.Column("guest_id", sa.Text(), nullable=True),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_activity", sa.DateTime(timezone=True), nullable=True),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("leave_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_presence_sessions")),
    )
    op.create_index("ix_presence_sessions_last_activity", "presence_sessions", ["last_activity"])
    op.create_index(
        "ix_presence_sessions_space", "presence_sessions", ["space_type", "space_id", "last_activity"], unique=False
    )
    op.create_table(
        "presence_space_settings",
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("chat_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("voice_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("guests_allowed", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("max_users", sa.Integer(), server_default="1000", nullable=False),
        sa.Column("slow_mode_seconds", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "audio",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text('\'{"mode": "ambient"}\''),
            nullable=False,
        ),
        sa.Column(
            "spawn",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text('\'{"x": 0, "y": 0, "z": 0}\''),
            nullable=False,
        ),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("space_type", "space_id", name=op.f("pk_presence_space_settings")),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("family_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
    )
    op.create_index("ix_refresh_tokens_expires_at", "refresh_tokens", ["expires_at"])
    op.create_index("ix_refresh_tokens_family", "refresh_tokens", ["family_id"])
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("private_key_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
    )
    op.create_table(
        "space_activity",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("event_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("subspace", sa.Text(), nullable=True),
        sa.Column("activity", sa.Text(), nullable=False),
        sa.Column("user_account", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_space_activity")),
        sa.UniqueConstraint("event_id", name=op.f("uq_space_activity_event_id")),
    )
    op.create_index("ix_space_activity_occurred_at", "space_activity", ["occurred_at"])
    op.create_index(
        "ix_space_activity_space", "space_activity", ["space_type", "space_id", "occurred_at"], unique=False
    )
    op.create_table(
        "space_counters",
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("space_type", "space_id", name=op.f("pk_space_counters")),
    )
    op.create_table(
        "space_roles",
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("given_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role IN ('moderator', 'member')", name=op.f("ck_space_roles_role")),
        sa.PrimaryKeyConstraint("space_type", "space_id", "account", name=op.f("pk_space_roles")),
    )
    op.create_table(
        "space_sanctions",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("imposed_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('ban', 'mute')", name=op.f("ck_space_sanctions_kind")),
        sa.CheckConstraint(
            "subject_kind IN ('account', 'guest', 'address')", name=op.f("ck_space_sanctions_subject_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_space_sanctions")),
    )
    op.create_index(
        "ix_space_sanctions_space",
        "space_sanctions",
        ["space_type", "space_id", "subject_kind", "subject"],
    )
    op.create_table(
        "sync_state",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("watermark", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("row_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("table_name", name=op.f("pk_sync_state")),
    )
    op.create_table(
        "thread_read_cursors",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("last_read_message_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("last_read_seq", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account", "thread_id", name=op.f("pk_thread_read_cursors")),
    )
    op.create_table(
        "webhook_subscriptions",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("space_type", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Text(), nullable=False),
        sa.Column("webhook_url", sa.Text(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("previous_secret_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("client_message_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_subscriptions")),
        sa.UniqueConstraint("created_by", "client_message_id", name="uq_webhook_subscriptions_client_id"),
    )
    op.create_index("ix_webhook_subscriptions_created_by", "webhook_subscriptions", ["created_by"])
    op.create_index(
        "ix_webhook_subscriptions_space",
        "webhook_subscriptions",
        ["space_type", "space_id"],
        postgresql_where=sa.text("active"),
    )
    op.create_table(
        "chat_message_edits",
        sa.Column("message_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("edited_by", sa.Text(), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "id", name=op.f("pk_chat_message_edits")),
        postgresql_partition_by="RANGE (message_id)",
    )
    op.create_table(
        "message_reactions",
        sa.Column("message_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("author_key", sa.Text(), nullable=False),
        sa.Column("reaction", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "author_key", "reaction", name=op.f("pk_message_reactions")),
        postgresql_partition_by="RANGE (message_id)",
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("subscription_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("event_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_status_code", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('pending', 'delivered', 'dead')", name=op.f("ck_webhook_deliveries_status")),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["webhook_subscriptions.id"],
            name=op.f("fk_webhook_deliveries_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("subscription_id", "event_id", "event", name="uq_webhook_deliveries_event"),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["subscription_id", "next_attempt_at"],
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_subscription",
        "webhook_deliveries",
        ["subscription_id", sa.literal_column("id DESC")],
    )
    op.create_table(
        "webhook_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("delivery_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["webhook_deliveries.id"], name=op.f("fk_webhook_attempts_delivery_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_attempts")),
    )
    op.create_index("ix_webhook_attempts_delivery", "webhook_attempts", ["delivery_id"])


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)  # its indexes go with it
