"""The log of webhook deliveries, and sending again what it holds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from libs.common.contracts.registry import Access, Http, Limit, Operation
from libs.common.contracts.schema import Cursor, Id, PageSize, choice

MOST_REDELIVERED = 10_000  # deliveries by one request


@dataclass(frozen=True)
class ListDeliveries:
    id: Id
    limit: PageSize = 50
    cursor: Cursor | None = None


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

RECORDS = (list_deliveries, redeliver, redeliver_range)
