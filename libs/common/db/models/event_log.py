"""The one log and each space's counter. Written only through `libs/common/db/event_log.py`; the inbox
through `libs/common/db/inbox.py`."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.db.models.base import Base, CreatedAt, Uuid

STAYS = "name IN ('spaces.member_joined', 'spaces.member_left')"


class SpaceCounter(Base):
    """The space's last `seq`; its row lock makes `seq` the commit order.

    The row without type and id is the floor: a space that has no row begins above it, and a row is only removed once
    the floor is as high. So no number is ever given out twice, however old the one is that a client comes back with.
    """

    __tablename__ = "space_counters"

    space_type: Mapped[str] = mapped_column(primary_key=True)
    space_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[CreatedAt]  # without an index, so that taking a number changes none


class EventLogRow(Base):
    """A durable fact. `published_at` is null until the broker confirmed it: the row is the outbox.

    `subject` is the message or comment whose words the payload holds; they go when it is deleted, or when its month is
    archived. The log lies in months by its id, in the schema `log_partitions`, so that a month is dropped as a file. In
    each of them a space's `seq` is unique (`log_partitions.make_month`), and the counter gives none out twice.
    """

    __tablename__ = "event_log"
    __table_args__ = (
        Index("ix_event_log_unpublished", "id", postgresql_where=text("published_at IS NULL")),
        Index("ix_event_log_stays", "occurred_at", postgresql_where=text(STAYS)),
        Index("ix_event_log_subject", "subject", postgresql_where=text("subject IS NOT NULL")),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    name: Mapped[str]
    space_type: Mapped[str]
    space_id: Mapped[str]
    subspace: Mapped[str | None]
    seq: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str]
    payload: Mapped[dict[str, Any]]
    request_id: Mapped[str]
    occurred_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    subject: Mapped[Uuid | None]


class InboxRow(Base):
    """An event that a consumer has handled, in that handler's own transaction."""

    __tablename__ = "inbox"
    __table_args__ = (Index("ix_inbox_handled_at", "handled_at"),)

    consumer: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[Uuid] = mapped_column(primary_key=True)
    handled_at: Mapped[CreatedAt]
