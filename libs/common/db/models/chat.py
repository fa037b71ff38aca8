"""What people write. Writer: chat."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.db.models.base import Base, CreatedAt, Uuid


class ChatMessage(Base):
    """`author_key` is `Identity.key`; `seq` the space's number when it was written; kept 90 days."""

    __tablename__ = "chat_messages"
    __table_args__ = (
        UniqueConstraint(
            "space_type", "space_id", "author_key", "client_message_id", name="uq_chat_messages_client_id"
        ),
        Index("ix_chat_messages_page", "space_type", "space_id", "subspace", text("seq DESC")),
        Index(
            "ix_chat_messages_thread",
            "parent_message_id",
            "seq",
            postgresql_where=text("parent_message_id IS NOT NULL"),
        ),
        Index("ix_chat_messages_created_at", "created_at"),
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
    mentions: Mapped[list[str]] = mapped_column(server_default="{}")
    is_edited: Mapped[bool] = mapped_column(server_default=text("false"))
    is_deleted: Mapped[bool] = mapped_column(server_default=text("false"))
    deleted_by: Mapped[str | None]
    client_message_id: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ChatMessageEdit(Base):
    """What a message said before an edit."""

    __tablename__ = "chat_message_edits"
    __table_args__ = (Index("ix_chat_message_edits_message", "message_id", "edited_at"),)

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    message_id: Mapped[Uuid] = mapped_column(ForeignKey("chat_messages.id", ondelete="CASCADE"))
    content: Mapped[str | None]
    edited_by: Mapped[str]
    edited_at: Mapped[CreatedAt]


class MessageReaction(Base):
    """One per person and emoji."""

    __tablename__ = "message_reactions"

    message_id: Mapped[Uuid] = mapped_column(ForeignKey("chat_messages.id", ondelete="CASCADE"), primary_key=True)
    author_key: Mapped[str] = mapped_column(primary_key=True)
    reaction: Mapped[str] = mapped_column(primary_key=True)
    display_name: Mapped[str]
    created_at: Mapped[CreatedAt]


class DocumentComment(Base):
    """A comment on a document's section, with a place in VR if it was made there."""

    __tablename__ = "document_comments"
    __table_args__ = (
        CheckConstraint("comment_type IN ('comment', 'suggestion', 'approval', 'question')", name="comment_type"),
        UniqueConstraint("document_id", "author_key", "client_comment_id", name="uq_document_comments_client_id"),
        Index("ix_document_comments_page", "document_id", "seq"),
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
    client_comment_id: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ChatSubscription(Base):
    """How much of a space an account wants to hear of, and how far it has read."""

    __tablename__ = "chat_subscriptions"
    __table_args__ = (CheckConstraint("level IN ('all', 'mentions', 'none')", name="level"),)

    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[str] = mapped_column(server_default="mentions")
    last_read_message_id: Mapped[Uuid | None]
    last_read_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
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
    """A mention of or a reply to an account."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("account", "event_id", "kind", name="uq_notifications_event"),
        Index("ix_notifications_account", "account", text("created_at DESC")),
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    account: Mapped[str]
    event_id: Mapped[Uuid]
    kind: Mapped[str]
    space_type: Mapped[str]
    space_id: Mapped[str]
    message_id: Mapped[Uuid | None]
    data: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[CreatedAt]
    read_at: Mapped[datetime | None]
