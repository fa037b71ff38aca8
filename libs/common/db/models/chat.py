"""The words that people write, and their reading. Writer: chat.

Messages, and what hangs on a message, lie in monthly partitions by the message's id (a UUIDv7 begins with its time), so
that a month is dropped as files, not row by row. A partition must hold every unique key, hence no foreign keys between
them and a table of its own for idempotency. The partitions are in the schema `chat_partitions`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Computed, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.db.models.base import Base, CreatedAt, Uuid

_NO_REACTIONS = text("'{}'")


class ChatMessage(Base):
    """`author_key` is `Identity.key`; `seq` the space's number when it was written; kept 90 days.

    `reactions` is what `message_reactions` adds up to, kept under the row's lock: `{emoji: {count, by}}`.
    """

    __tablename__ = "chat_messages"
    __table_args__ = (
        Index("ix_chat_messages_page", "space_type", "space_id", "subspace", text("seq DESC")),
        Index(
            "ix_chat_messages_thread",
            "parent_message_id",
            "seq",
            postgresql_where=text("parent_message_id IS NOT NULL"),
        ),
        Index("ix_chat_messages_created_at", "created_at"),
        Index("ix_chat_messages_search", "search", postgresql_using="gin"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    space_type: Mapped[str]
    space_id: Mapped[str]
    subspace: Mapped[str]
    author_key: Mapped[str]
    user_account: Mapped[str | None]
    display_name: Mapped[str]
    message_type: Mapped[str]
    content: Mapped[str | None]
    parent_message_id: Mapped[Uuid | None]
    thread_count: Mapped[int] = mapped_column(server_default="0")
    reactions: Mapped[dict[str, Any]] = mapped_column(server_default=_NO_REACTIONS)
    mentions: Mapped[list[str]] = mapped_column(server_default="{}")
    is_edited: Mapped[bool] = mapped_column(server_default=text("false"))
    is_deleted: Mapped[bool] = mapped_column(server_default=text("false"))
    deleted_by: Mapped[str | None]
    client_message_id: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    search: Mapped[str] = mapped_column(TSVECTOR, Computed("search_vector(content)", persisted=True))


class ChatMessageEdit(Base):
    """The text of a message before an edit."""

    __tablename__ = "chat_message_edits"
    __table_args__ = ({"postgresql_partition_by": "RANGE (message_id)"},)

    message_id: Mapped[Uuid] = mapped_column(primary_key=True)
    id: Mapped[Uuid] = mapped_column(primary_key=True)
    content: Mapped[str]
    edited_by: Mapped[str]
    edited_at: Mapped[CreatedAt]


class MessageReaction(Base):
    """One per person and emoji."""

    __tablename__ = "message_reactions"
    __table_args__ = ({"postgresql_partition_by": "RANGE (message_id)"},)

    message_id: Mapped[Uuid] = mapped_column(primary_key=True)
    author_key: Mapped[str] = mapped_column(primary_key=True)
    reaction: Mapped[str] = mapped_column(primary_key=True)
    display_name: Mapped[str]
    created_at: Mapped[CreatedAt]


class ChatCommand(Base):
    """A command that was carried out: one row for an author's `client_message_id`, and its subject."""

    __tablename__ = "chat_commands"
    __table_args__ = (Index("ix_chat_commands_created_at", "created_at", postgresql_using="brin"),)

    author_key: Mapped[str] = mapped_column(primary_key=True)
    command: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    client_message_id: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[Uuid]
    created_at: Mapped[CreatedAt]


class ChatPace(Base):
    """When an author last wrote in a space that is in slow mode."""

    __tablename__ = "chat_pace"

    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    author_key: Mapped[str] = mapped_column(primary_key=True)
    posted_at: Mapped[datetime]


class ChatAccount(Base):
    """An account that has written, reacted or read here, so that it can be mentioned."""

    __tablename__ = "chat_accounts"

    account: Mapped[str] = mapped_column(primary_key=True)
    first_seen_at: Mapped[CreatedAt]


class DocumentComment(Base):
    """A comment on a document's section, with a place in VR if it was made there."""

    __tablename__ = "document_comments"
    __table_args__ = (
        CheckConstraint("comment_type IN ('comment', 'suggestion', 'approval', 'question')", name="comment_type"),
        Index("ix_document_comments_page", "document_id", "seq"),
        Index("ix_document_comments_thread", "parent_comment_id"),
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    document_id: Mapped[str]
    author_key: Mapped[str]
    user_account: Mapped[str | None]
    display_name: Mapped[str]
    comment_type: Mapped[str] = mapped_column(server_default="comment")
    content: Mapped[str | None]
    section: Mapped[str | None]
    position: Mapped[dict[str, Any] | None]
    parent_comment_id: Mapped[Uuid | None]
    thread_count: Mapped[int] = mapped_column(server_default="0")
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None]
    is_edited: Mapped[bool] = mapped_column(server_default=text("false"))
    is_deleted: Mapped[bool] = mapped_column(server_default=text("false"))
    client_message_id: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class DocumentCommentEdit(Base):
    """The text of a comment before an edit; it goes with the comment."""

    __tablename__ = "document_comment_edits"

    comment_id: Mapped[Uuid] = mapped_column(primary_key=True)
    id: Mapped[Uuid] = mapped_column(primary_key=True)
    content: Mapped[str]
    edited_by: Mapped[str]
    edited_at: Mapped[CreatedAt]


class ChatSubscription(Base):
    """How much of a space an account wants to hear of.

    `last_read_*` is how far it had read in every subspace, of when a space had one cursor.
    """

    __tablename__ = "chat_subscriptions"
    __table_args__ = (
        CheckConstraint("level IN ('all', 'mentions', 'none')", name="level"),
        Index("ix_chat_subscriptions_account", "account"),
        Index("ix_chat_subscriptions_all", "space_type", "space_id", postgresql_where=text("level = 'all'")),
    )

    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[str] = mapped_column(server_default="mentions")
    last_read_message_id: Mapped[Uuid | None]
    last_read_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    updated_at: Mapped[CreatedAt]


class SubspaceReadCursor(Base):
    """How far an account has read one subspace."""

    __tablename__ = "subspace_read_cursors"

    account: Mapped[str] = mapped_column(primary_key=True)
    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    subspace: Mapped[str] = mapped_column(primary_key=True)
    last_read_message_id: Mapped[Uuid]
    last_read_seq: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[CreatedAt]


class ThreadReadCursor(Base):
    """How far an account has read one thread."""

    __tablename__ = "thread_read_cursors"

    account: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[Uuid] = mapped_column(primary_key=True)
    last_read_message_id: Mapped[Uuid]
    last_read_seq: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[CreatedAt]


class Notification(Base):
    """A message that an account is told of, a document's comment, which `of_comment` says, or a notice: of an event, or
    of a webhook of the account's own, to which `link` leads.

    The text of what somebody said is that one's own, so that what is deleted is gone here too; `title` is a notice's.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('mention', 'reply', 'message', 'event_reminder', 'event_place', 'event_cancelled',"
            " 'webhook_failing', 'webhook_ends_soon', 'webhook_disabled')",
            name="kind",
        ),
        UniqueConstraint("message_id", "account", name="uq_notifications_message"),
        Index("ix_notifications_account", "account", text("id DESC")),
        Index("ix_notifications_unread", "account", text("id DESC"), postgresql_where=text("read_at IS NULL")),
        Index("ix_notifications_created_at", "created_at", postgresql_using="brin"),
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    account: Mapped[str]
    kind: Mapped[str]
    space_type: Mapped[str]
    space_id: Mapped[str]
    subspace: Mapped[str]
    message_id: Mapped[Uuid]
    of_comment: Mapped[bool] = mapped_column(server_default=text("false"))
    by: Mapped[str]
    title: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    read_at: Mapped[datetime | None]
    link: Mapped[str | None]
