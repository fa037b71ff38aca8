"""The log of webhook deliveries, and sending again what it holds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from libs.common.contracts.registry import Access, Http, Limit, Operation
from libs.common.contracts.schema import Cursor, Id, PageSize, choice
from libs.common.contracts.webhooks.subscriptions import EventName, SubscriptionId

MOST_REDELIVERED = 10_000  # deliveries by one request


@dataclass(frozen=True)
class ListDeliveries:
    """Filters hold together; `since` and `until` are of when a delivery was made, `until` not included."""

    KNOWN_NAMES_ONLY = True

    id: Id
    limit: PageSize = 50
    cursor: Cursor | None = None
    status: Annotated[str, choice("pending", "delivered", "dead")] | None = None
    event: Annotated[str, EventName] | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Delivery:
    """`status` is pending, delivered or dead. `webhook_id` is the same on every retry."""

    id: str
    webhook_id: str
    event: str
    sequence: int
    status: str
    attempts: int
    next_attempt_at: datetime | None
    last_status_code: int | None
    last_error: str | None
    created_at: datetime


@dataclass(frozen=True)
class Deliveries:
    deliveries: list[Delivery]
    next_cursor: str | None


@dataclass(frozen=True)
class GetDelivery:
    id: Id
    delivery: Id


@dataclass(frozen=True)
class Attempt:
    """One POST. `status_code` is null when nothing came back, `error` null for success, `answer` the first KiB of what
    came back. One `by_hand` was asked for, outside the schedule.
    """

    started_at: datetime
    duration_ms: int
    status_code: int | None
    error: str | None
    next_attempt_at: datetime | None
    answer: str | None
    by_hand: bool


@dataclass(frozen=True)
class DeliveryDetail:
    """`body` is what would be sent now: the bytes of every attempt, but for words that were taken back since. It is
    null for who may not hear of the space any more. `attempts` are the last hundred, the oldest first.
    """

    delivery: Delivery
    body: str | None
    attempts: list[Attempt]


@dataclass(frozen=True)
class DeliveryCounts:
    """How many deliveries were made since, by their status now."""

    since: datetime
    pending: int
    delivered: int
    dead: int


@dataclass(frozen=True)
class DeliveryId:
    id: Id


@dataclass(frozen=True)
class RedeliverRange:
    """Asks for what was made from `since` and before `until`, and is in `status`; `missed` are events that happened
    while the subscription was not active. With `dry_run` they are counted only.
    """

    id: Id
    since: datetime
    until: datetime
    status: Annotated[str, choice("dead", "delivered", "pending", "missed")] = "dead"
    dry_run: bool = False


@dataclass(frozen=True)
class Redelivered:
    """`count` are sent again, the oldest first; `left` are as many as were too many for one request."""

    count: int
    left: int
    dry_run: bool


list_deliveries = Operation(
    "webhooks.deliveries",
    "webhook_dispatcher",
    ListDeliveries,
    Deliveries,
    Access.ACCOUNT,
    Limit(60, 60),
    bindings=(Http("GET", "/api/webhooks/{id}/deliveries"),),
    summary="What was sent, when, and what came back; newest first.",
)
get_delivery = Operation(
    "webhooks.delivery",
    "webhook_dispatcher",
    GetDelivery,
    DeliveryDetail,
    Access.ACCOUNT,
    Limit(60, 60),
    bindings=(Http("GET", "/api/webhooks/{id}/deliveries/{delivery}"),),
    summary="One delivery: the body sent, and every attempt with what came back.",
)
count_deliveries = Operation(
    "webhooks.counts",
    "webhook_dispatcher",
    SubscriptionId,
    DeliveryCounts,
    Access.ACCOUNT,
    Limit(60, 60),
    bindings=(Http("GET", "/api/webhooks/{id}/counts"),),
    summary="How many deliveries the last 24 hours made, by status.",
)
redeliver = Operation(
    "webhooks.redeliver",
    "webhook_dispatcher",
    DeliveryId,
    Delivery,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("POST", "/api/webhooks/deliveries/{id}/redeliver"),),
    summary="Send one delivery again, under the same webhook-id.",
)
redeliver_range = Operation(
    "webhooks.redeliver_range",
    "webhook_dispatcher",
    RedeliverRange,
    Redelivered,
    Access.ACCOUNT,
    Limit(10, 60),
    writes=True,
    bindings=(Http("POST", "/api/webhooks/{id}/redeliver"),),
    summary="Send again what was made in a time; with dry_run count it only.",
    timeout=12.0,
)

RECORDS = (list_deliveries, get_delivery, count_deliveries, redeliver, redeliver_range)
