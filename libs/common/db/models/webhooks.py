"""Webhook subscriptions, deliveries and every attempt. Writer: webhook_dispatcher."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.db.models.base import Base, CreatedAt, Uuid


class WebhookSubscription(Base):
    """`secret_sealed` is encrypted with PRESENCE_SECRET_KEY; the previous one signs too while it rotates.

    `active` is false while it is `paused`, and once it was disabled, which `disabled_reason` says. `rotation_id` is
    the client's id of the last rotation. `failing_marks` counts failures that lie 12 hours apart, since
    `failing_since`; `told` how many notices its owner had of them. Until `redeliver_after` nothing is redelivered
    to it.

    One that is `unverified` is not active: its URL has not said yet that it wants webhooks. `ping_at` is when it is
    asked next, `pings` how often it was asked for nothing, `ping_error` what came of the last time.

    The state of the endpoint: it `is_probed`, by one request at a time, from when it gave no answer or asked to wait
    until it answers. Nothing is sent before `paused_until`, as it has asked since `waiting_since` without an answer of
    another kind. What is pending for a subscription that `is_given_up` is being buried.
    """

    __tablename__ = "webhook_subscriptions"
    __table_args__ = (
        Index("ix_webhook_subscriptions_space", "space_type", "space_id", postgresql_where=text("active")),
        Index("ix_webhook_subscriptions_all_of_space", "space_type", "space_id"),
        Index("ix_webhook_subscriptions_created_by", "created_by"),
        Index("ix_webhook_subscriptions_failing", "failing_since", postgresql_where=text("failing_since IS NOT NULL")),
        Index("ix_webhook_subscriptions_ping", "ping_at", postgresql_where=text("ping_at IS NOT NULL")),
        UniqueConstraint("created_by", "client_message_id", name="uq_webhook_subscriptions_client_id"),
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    space_type: Mapped[str]
    space_id: Mapped[str]
    webhook_url: Mapped[str]
    events: Mapped[list[str]]
    secret_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    previous_secret_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_secret_until: Mapped[datetime | None]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    disabled_reason: Mapped[str | None]
    failing_since: Mapped[datetime | None]
    client_message_id: Mapped[str | None]
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    rotation_id: Mapped[str | None]
    rotated_at: Mapped[datetime | None]
    failing_marks: Mapped[int] = mapped_column(server_default="0")
    failing_marked_at: Mapped[datetime | None]
    told: Mapped[int] = mapped_column(server_default="0")
    redeliver_after: Mapped[datetime | None]
    is_probed: Mapped[bool] = mapped_column(server_default=text("false"))
    paused_until: Mapped[datetime | None]
    waiting_since: Mapped[datetime | None]
    is_given_up: Mapped[bool] = mapped_column(server_default=text("false"))
    unverified: Mapped[bool] = mapped_column(server_default=text("false"))
    ping_at: Mapped[datetime | None]
    pings: Mapped[int] = mapped_column(server_default="0")
    ping_error: Mapped[str | None]


class WebhookDelivery(Base):
    """One event for one subscription; the schedule of its retries lives here, not in a queue.

    `body` is frozen when planned, so every retry sends the same bytes under the same `webhook_id`; when the words in it
    are taken back, it becomes what is left of the event.
    `redeliver_at` is when it is sent again because somebody asked, whatever its status, and `redelivery_tries` how
    often that was tried. `claimed_until` is the lease of the process that is sending it. `excused` attempts use up
    none of the schedule: the endpoint asked to wait. No foreign key: a subscription is removed at once, and its
    deliveries after it, in batches.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'delivered', 'dead')", name="status"),
        UniqueConstraint("subscription_id", "event_id", "event", name="uq_webhook_deliveries_event"),
        Index(
            "ix_webhook_deliveries_due",
            "subscription_id",
            "next_attempt_at",
            postgresql_where=text("status = 'pending'"),
        ),
        Index(
            "ix_webhook_deliveries_first",
            "subscription_id",
            "next_attempt_at",
            postgresql_where=text("status = 'pending' AND attempts = 0"),
        ),
        Index("ix_webhook_deliveries_dead", "finished_at", postgresql_where=text("status = 'dead'")),
        Index("ix_webhook_deliveries_subscription", "subscription_id", text("id DESC")),
        Index("ix_webhook_deliveries_event", "subscription_id", "event", text("id DESC")),
        Index(
            "ix_webhook_deliveries_unfinished",
            "subscription_id",
            "status",
            text("id DESC"),
            postgresql_where=text("status <> 'delivered'"),
        ),
        Index(
            "ix_webhook_deliveries_redeliver",
            "subscription_id",
            "redeliver_at",
            postgresql_where=text("redeliver_at IS NOT NULL"),
        ),
        Index("ix_webhook_deliveries_finished_at", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    subscription_id: Mapped[Uuid]
    event_id: Mapped[Uuid]
    webhook_id: Mapped[str]
    event: Mapped[str]
    sequence: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    actor: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default="0")
    excused: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime | None]
    claimed_until: Mapped[datetime | None]
    last_status_code: Mapped[int | None]
    last_error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]
    redeliver_at: Mapped[datetime | None]
    redelivery_tries: Mapped[int] = mapped_column(server_default="0")


class WebhookAttempt(Base):
    """One POST and what came back; `status_code` is null when nothing did.

    `answer` is the beginning of the answer's body, without our signatures. One `by_hand` is outside the schedule.
    """

    __tablename__ = "webhook_attempts"
    __table_args__ = (Index("ix_webhook_attempts_delivery", "delivery_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    delivery_id: Mapped[Uuid] = mapped_column(ForeignKey("webhook_deliveries.id", ondelete="CASCADE"))
    started_at: Mapped[CreatedAt]
    duration_ms: Mapped[int]
    status_code: Mapped[int | None]
    error: Mapped[str | None]
    answer: Mapped[str | None]
    next_attempt_at: Mapped[datetime | None]
    by_hand: Mapped[bool] = mapped_column(server_default=text("false"))


class WebhookNotice(Base):
    """What a subscription's owner is to be notified of; chat reads it and makes the notification. Kept for a week.

    `title` says what happened and why, `link` leads to the subscription.
    """

    __tablename__ = "webhook_notices"
    __table_args__ = (
        CheckConstraint("kind IN ('webhook_failing', 'webhook_ends_soon', 'webhook_disabled')", name="kind"),
    )

    id: Mapped[Uuid] = mapped_column(primary_key=True)
    kind: Mapped[str]
    account: Mapped[str]
    space_type: Mapped[str]
    space_id: Mapped[str]
    host: Mapped[str]
    title: Mapped[str]
    link: Mapped[str]
    created_at: Mapped[CreatedAt]
