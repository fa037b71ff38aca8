"""Webhook subscriptions, and the state of each delivery."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from libs.common.contracts.auth import Empty
from libs.common.contracts.registry import Access, Http, Limit, Operation, Registry, Webhook
from libs.common.contracts.schema import ClientId, Cursor, Id, PageSize, SpaceId, SpaceType, at_most, text

# Names that the API promises (docs/webhooks.md).
EVENTS = (
    *("chat", "chat_edited", "chat_deleted", "join", "leave"),
    *("document_edit", "comment", "reaction", "moderation"),
    *("event_changed", "event_cancelled", "event_reminder"),
)
PRIVATE_FIELDS = frozenset({"client_message_id"})  # of a payload, which its author alone has a use for
WebhookUrl = Annotated[
    str,
    text(
        2048,
        pattern=r"https?://[^\s/?#@]+([/?#]\S*)?",
        format="webhook-url",
        description="https, of a host that resolves to a public address, without name and password.",
    ),
]
_BASE64 = "[A-Za-z0-9+/]"
Secret = Annotated[
    str,
    text(
        256,
        8,
        rf"(?!whsec_)[^\x00]*|whsec_({_BASE64}{{4}}){{8,20}}({_BASE64}{{4}}|{_BASE64}{{3}}=|{_BASE64}{{2}}==)?"
        rf"|whsec_({_BASE64}{{4}}){{21}}{_BASE64}{{2}}==",
        description="After `whsec_` the base64 of 24 to 64 bytes; without it, its own UTF-8 bytes are the key.",
    ),
]


class EventName(text(32)):  # type: ignore[misc]
    """One of the names that the registry's webhooks have, and `EVENTS`."""


def event_names(registry: Registry) -> list[str]:
    """Returns every name that a subscriber may ask for."""
    return list(dict.fromkeys([*EVENTS, *(binding.event for _, binding in registry.bound(Webhook))]))


def for_moderators(registry: Registry) -> frozenset[str]:
    """Returns the names of events that only the space's owner, moderators and operators may hear of."""
    return frozenset(binding.event for _, binding in registry.bound(Webhook) if binding.for_moderators)


MOST_NAMES = 32  # of events in a subscription


@dataclass(frozen=True)
class Subscribe:
    """`events` are webhook names (chat, join, leave, ...); without `secret` the server makes one.

    `client_message_id` makes a retry safe: the same one gives the same subscription, and the same secret.
    """

    space_type: SpaceType
    space_id: SpaceId
    webhook_url: WebhookUrl
    events: list[Annotated[str, EventName]] = field(metadata=at_most(MOST_NAMES, at_least=1))
    secret: Secret | None = None
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class Subscription:
    id: str
    space_type: str
    space_id: str
    webhook_url: str
    events: list[str]
    active: bool
    disabled_reason: str | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class NewSubscription:
    """`secret` is shown this once; null when the subscriber brought their own."""

    subscription: Subscription
    secret: str | None


@dataclass(frozen=True)
class SubscriptionId:
    id: Id


@dataclass(frozen=True)
class Subscriptions:
    webhooks: list[Subscription]


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


subscribe = Operation(
    "webhooks.subscribe",
    "webhook_dispatcher",
    Subscribe,
    NewSubscription,
    Access.ACCOUNT,
    Limit(30, 60),
    writes=True,
    bindings=(Http("POST", "/api/webhooks/subscribe", status=201),),
    summary="Have a space's events POSTed to a URL.",
)
list_subscriptions = Operation(
    "webhooks.list",
    "webhook_dispatcher",
    Empty,
    Subscriptions,
    Access.ACCOUNT,
    Limit(60, 60),
    bindings=(Http("GET", "/api/webhooks"),),
    summary="The caller's subscriptions.",
)
get_subscription = Operation(
    "webhooks.get",
    "webhook_dispatcher",
    SubscriptionId,
    Subscription,
    Access.ACCOUNT,
    Limit(60, 60),
    bindings=(Http("GET", "/api/webhooks/{id}"),),
    summary="One subscription.",
)
unsubscribe = Operation(
    "webhooks.unsubscribe",
    "webhook_dispatcher",
    SubscriptionId,
    Empty,
    Access.ACCOUNT,
    Limit(60, 60),
    writes=True,
    bindings=(Http("DELETE", "/api/webhooks/{id}"),),
    summary="End a subscription; what is pending for it is dropped.",
)
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

RECORDS = (subscribe, list_subscriptions, get_subscription, unsubscribe, list_deliveries)
