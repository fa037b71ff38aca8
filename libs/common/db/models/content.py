"""Content replicated from the primary, normalised from its two document shapes. Writer: sync_worker."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Computed, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.db.models.base import Base, CreatedAt

# Lists are read in the order of one column that rises, so that a page begins at a key and not at a number.
BY_TIME = "(-(coalesce(extract(epoch FROM created_at AT TIME ZONE 'UTC'), 0) * 1000))::bigint"
PUBLIC_POST = "NOT hidden AND NOT flagged"
PUBLIC_DOCUMENT = "is_public AND NOT is_deleted"
# Cut into terms by functions of the schema, as what is asked is (libs/common/db/search.py).
POST_WORDS = (
    "search_vector(author || ' ' || permlink || ' ' || coalesce(title, '') || ' ' || coalesce(description, ''))"
)
DOCUMENT_WORDS = "search_vector(creator || ' ' || space_id || ' ' || title)"


class Post(Base):
    """A post of the primary; title, description and time come from a Hive node (the primary has none).

    `row_hash` is of the primary's columns: a scan updates only what differs. Hive was asked at `asked_at`, has not
    known the post so many times on end (`misses`), and is asked again at `due_at`.
    """

    __tablename__ = "posts"
    __table_args__ = (
        *(
            Index(f"ix_posts_{name}", *columns, "author", "permlink", postgresql_where=text(PUBLIC_POST))
            for name, columns in {
                "by_votes": ("by_votes",),
                "by_time": ("by_time",),
                "type_by_votes": ("type", "by_votes"),
                "type_by_time": ("type", "by_time"),
            }.items()
        ),
        Index("ix_posts_private", "author", postgresql_where=text(f"NOT ({PUBLIC_POST})")),
        Index("ix_posts_search", "search", postgresql_using="gin"),
        Index("ix_posts_block", "block"),
        Index("ix_posts_unasked", "block", postgresql_where=text("asked_at IS NULL")),
        Index("ix_posts_due", "due_at"),
    )

    author: Mapped[str] = mapped_column(primary_key=True)
    permlink: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    block: Mapped[int | None] = mapped_column(BigInteger)
    votes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    voteweight: Mapped[int] = mapped_column(BigInteger, server_default="0")
    promote: Mapped[int] = mapped_column(BigInteger, server_default="0")
    paid: Mapped[bool] = mapped_column(server_default=text("false"))
    rating: Mapped[float] = mapped_column(server_default="0")
    ratings: Mapped[int] = mapped_column(server_default="0")
    nsfw: Mapped[bool] = mapped_column(server_default=text("false"))
    sensitive: Mapped[bool] = mapped_column(server_default=text("false"))
    hidden: Mapped[bool] = mapped_column(server_default=text("false"))
    featured: Mapped[bool] = mapped_column(server_default=text("false"))
    flagged: Mapped[bool] = mapped_column(server_default=text("false"))
    flag_reason: Mapped[str | None]
    moderated_by: Mapped[str | None]
    moderated_at: Mapped[datetime | None]
    remix_cid: Mapped[str | None]
    license: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(server_default="{}")
    title: Mapped[str | None]
    description: Mapped[str | None]
    created_at: Mapped[datetime | None]
    asked_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    misses: Mapped[int] = mapped_column(server_default="0")
    row_hash: Mapped[str]
    synced_at: Mapped[CreatedAt]
    by_votes: Mapped[int] = mapped_column(BigInteger, Computed("-votes", persisted=True))
    by_time: Mapped[int] = mapped_column(BigInteger, Computed(BY_TIME, persisted=True))
    search: Mapped[str] = mapped_column(TSVECTOR, Computed(POST_WORDS, persisted=True))


class PostContent(Base):
    """What a post shows, as Hive had it at `fetched_at`: its text, and `Details` as JSON. It goes with its post."""

    __tablename__ = "post_contents"
    __table_args__ = (
        ForeignKeyConstraint(["author", "permlink"], ["posts.author", "posts.permlink"], ondelete="CASCADE"),
    )

    author: Mapped[str] = mapped_column(primary_key=True)
    permlink: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[str]
    details: Mapped[dict[str, Any]]
    fetched_at: Mapped[datetime]


class CollaborationDocument(Base):
    """A document. `space_id` is its id as text, or `owner/permlink`, as the primary names it.

    Who may comment and edit is creator_only, invited_only or all. `number` is the id of one named by both.
    """

    __tablename__ = "collaboration_documents"
    __table_args__ = (
        Index("ix_collaboration_documents_by_votes", "by_votes", "space_id", postgresql_where=text(PUBLIC_DOCUMENT)),
        Index("ix_collaboration_documents_by_time", "by_time", "space_id", postgresql_where=text(PUBLIC_DOCUMENT)),
        Index("ix_collaboration_documents_creator", "creator"),
        Index("ix_collaboration_documents_number", "number"),
        Index("ix_collaboration_documents_search", "search", postgresql_using="gin"),
    )

    space_id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(server_default="")
    content: Mapped[str | None]
    creator: Mapped[str]
    is_public: Mapped[bool] = mapped_column(server_default=text("false"))
    is_deleted: Mapped[bool] = mapped_column(server_default=text("false"))
    comment_permissions: Mapped[str] = mapped_column(server_default="creator_only")
    edit_permissions: Mapped[str] = mapped_column(server_default="creator_only")
    number: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime | None]
    last_activity: Mapped[datetime | None]
    updated_at: Mapped[datetime | None]
    row_hash: Mapped[str]
    synced_at: Mapped[CreatedAt]
    by_votes: Mapped[int] = mapped_column(BigInteger, Computed("0::bigint", persisted=True))
    by_time: Mapped[int] = mapped_column(BigInteger, Computed(BY_TIME, persisted=True))
    search: Mapped[str] = mapped_column(TSVECTOR, Computed(DOCUMENT_WORDS, persisted=True))


class CollaborationPermission(Base):
    """`permission` is read, comment, edit or admin (readonly = read; editable, postable = edit)."""

    __tablename__ = "collaboration_permissions"
    __table_args__ = (Index("ix_collaboration_permissions_account", "account"),)

    space_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    permission: Mapped[str]
    row_hash: Mapped[str]
    synced_at: Mapped[CreatedAt]


class PresencePermission(Base):
    """Roles that the primary gives in any space: access, moderate or admin."""

    __tablename__ = "presence_permissions"

    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    permission: Mapped[str]
    row_hash: Mapped[str]
    synced_at: Mapped[CreatedAt]


class PresenceEvent(Base):
    """An event that is held at the primary. A trigger makes the scheduled event `code` of it, in the same transaction.

    `access` is open, list or password; `password_digest` is of `libs.common.db.primary_passwords`.
    """

    __tablename__ = "presence_events"
    __table_args__ = (CheckConstraint("access IN ('open', 'list', 'password')", name="access"),)

    code: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str]
    host: Mapped[str]
    co_hosts: Mapped[list[str]]
    capacity: Mapped[int | None]
    access: Mapped[str]
    password_digest: Mapped[str | None]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    doors_at: Mapped[datetime]
    closes_at: Mapped[datetime]
    cancelled: Mapped[bool]
    row_hash: Mapped[str]
    synced_at: Mapped[CreatedAt]


class SyncState(Base):
    """The progress of a table's replication. `watermark` is the keyset position of a scan under way, `position` where
    the primary stood when the table was equal last.

    `required` are the primary's columns about access that were seen, by shape. `closed_rows` have vanished in
    suspicious number and wait for an operator, who may confirm how many are deleted. Rows named `access_epochs:...`
    are no tables: their `watermark` has spaces whose access epoch is still to be raised.
    """

    __tablename__ = "sync_state"

    table_name: Mapped[str] = mapped_column(primary_key=True)
    watermark: Mapped[dict[str, Any] | None]
    position: Mapped[dict[str, Any] | None]
    row_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    last_run_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    required: Mapped[dict[str, Any] | None]
    closed_rows: Mapped[int] = mapped_column(BigInteger, server_default="0")
    confirmed_deletes: Mapped[int | None] = mapped_column(BigInteger)
    updated_at: Mapped[CreatedAt]
