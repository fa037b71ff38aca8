"""Webhook subscriptions: made, changed, tried and ended."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from libs.common.contracts.auth import Empty
from libs.common.contracts.registry import Access, Http, Limit, Operation, Registry, Webhook
from libs.common.contracts.schema import Account, ClientId, Id, SpaceId, SpaceType, at_most, integer, text

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
LONGEST_OVERLAP = 7 * 86_400  # seconds for which two secrets sign


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
    """`active` is whether events are sent; `state` says more: active, unverified, paused or disabled, for which there
    is a `disabled_reason`. One that is unverified waits for its URL to answer a ping: `ping_error` is what came of the
    last one, and the next is sent at `ping_at`.

    `failing_since` is the first failure since the last success. Until `previous_secret_until` two secrets sign.
    """

    id: str
    space_type: str
    space_id: str
    webhook_url: str
    events: list[str]
    active: bool
    disabled_reason: str | None
    created_by: str
    created_at: datetime
    paused: bool = False
    failing_since: datetime | None = None
    previous_secret_until: datetime | None = None
    state: str = "active"
    ping_at: datetime | None = None
    ping_error: str | None = None


@dataclass(frozen=True)
class NewSubscription:
    """`secret` is shown this once; null when the subscriber brought their own."""

    subscription: Subscription
    secret: str | None


@dataclass(frozen=True)
class SubscriptionId:
    id: Id


@dataclass(frozen=True)
class ListSubscriptions:
    """Asks for one's own, or for those of a `space` (`post:alice/my-360-photo`) that one moderates: there the URLs of
    others are without what follows the host. Operators see everybody's. Filters hold together.
    """

    KNOWN_NAMES_ONLY = True

    space: Annotated[str, text(320, pattern=r"[a-z]+:\S+")] | None = None
    owner: Account | None = None
    host: Annotated[str, text(253)] | None = None
    failing: bool = False


@dataclass(frozen=True)
class Subscriptions:
    webhooks: list[Subscription]


@dataclass(frozen=True)
class ChangeSubscription:
    """What is null stays as it is. With `paused` false it works again, whatever had stopped it."""

    id: Id
    webhook_url: WebhookUrl | None = None
    events: list[Annotated[str, EventName]] | None = field(default=None, metadata=at_most(MOST_NAMES, at_least=1))
    paused: bool | None = None


@dataclass(frozen=True)
class RotateSecret:
    """Without `secret` the server makes one. For `overlap_seconds` the present one signs too; one that did until now
    ends at once, so that no more than two ever do.

    `client_message_id` makes a retry safe: the same one rotates once, and gives the same secret for ten minutes.
    """

    id: Id
    secret: Secret | None = None
    overlap_seconds: Annotated[int, integer(0, LONGEST_OVERLAP)] = 86_400
    client_message_id: ClientId | None = None


@dataclass(frozen=True)
class SecretRotated:
    """`secret` is shown this once; null when the subscriber brought their own."""

    subscription: Subscription
    secret: str | None


@dataclass(frozen=True)
class SendTest:
    """Asks for an example of `event`, or of the first of the subscription's events; of a URL that is unverified, for a
    ping in its place."""

    id: Id
    event: Annotated[str, EventName] | None = None


@dataclass(frozen=True)
class Tested:
    """What came back. `status_code` is null without an answer, `error` null for success; `answer` is its first KiB."""

    webhook_id: str
    event: str
    status_code: int | None
    duration_ms: int
    error: str | None
    answer: str | None


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
    ListSubscriptions,
    Subscriptions,
    Access.ACCOUNT,
    Limit(60, 60),
    bindings=(Http("GET", "/api/webhooks"),),
    summary="The caller's subscriptions, or those of a space that the caller moderates.",
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
    summary="End a subscription, one's own or one of a space that one moderates; what is pending for it is dropped.",
)
change = Operation(
    "webhooks.change",
    "webhook_dispatcher",
    ChangeSubscription,
    Subscription,
    Access.ACCOUNT,
    Limit(30, 60),
    writes=True,
    bindings=(Http("PATCH", "/api/webhooks/{id}"),),
    summary="Change a subscription's URL or events, pause it, or have it work again.",
)
rotate_secret = Operation(
    "webhooks.rotate_secret",
    "webhook_dispatcher",
    RotateSecret,
    SecretRotated,
    Access.ACCOUNT,
    Limit(10, 60),
    writes=True,
    bindings=(Http("POST", "/api/webhooks/{id}/rotate-secret"),),
    summary="Give a subscription another secret; for a while the one before signs too.",
)
send_test = Operation(
    "webhooks.test",
    "webhook_dispatcher",
    SendTest,
    Tested,
    Access.ACCOUNT,
    Limit(10, 60),
    writes=True,
    bindings=(Http("POST", "/api/webhooks/{id}/test"),),
    summary="Send an example of an event to a subscription's URL now, and tell what came back.",
    timeout=25.0,
)

RECORDS = (subscribe, list_subscriptions, get_subscription, unsubscribe, change, rotate_secret, send_test)
