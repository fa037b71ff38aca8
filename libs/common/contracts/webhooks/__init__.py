"""Webhooks: subscriptions, the log of deliveries, and the names that subscribers know."""

from libs.common.contracts.webhooks import deliveries, subscriptions
from libs.common.contracts.webhooks.deliveries import (
    MOST_REDELIVERED,
    Attempt,
    Deliveries,
    Delivery,
    DeliveryCounts,
    DeliveryDetail,
    DeliveryId,
    GetDelivery,
    ListDeliveries,
    Redelivered,
    RedeliverRange,
    count_deliveries,
    get_delivery,
    list_deliveries,
    redeliver,
    redeliver_range,
)
from libs.common.contracts.webhooks.subscriptions import (
    EVENTS,
    PRIVATE_FIELDS,
    ChangeSubscription,
    EventName,
    ListSubscriptions,
    NewSubscription,
    RotateSecret,
    SecretRotated,
    SendTest,
    Subscribe,
    Subscription,
    SubscriptionId,
    Subscriptions,
    Tested,
    change,
    event_names,
    for_moderators,
    get_subscription,
    list_subscriptions,
    rotate_secret,
    send_test,
    subscribe,
    unsubscribe,
)

RECORDS = (*subscriptions.RECORDS, *deliveries.RECORDS)
__all__ = [
    "EVENTS", "MOST_REDELIVERED", "PRIVATE_FIELDS", "RECORDS", "Attempt", "ChangeSubscription", "Deliveries",
    "Delivery", "DeliveryCounts", "DeliveryDetail", "DeliveryId", "EventName", "GetDelivery", "ListDeliveries",
    "ListSubscriptions", "NewSubscription", "RedeliverRange", "Redelivered", "RotateSecret", "SecretRotated",
    "SendTest", "Subscribe", "Subscription", "SubscriptionId", "Subscriptions", "Tested", "change",
    "count_deliveries", "event_names", "for_moderators", "get_delivery", "get_subscription", "list_deliveries",
    "list_subscriptions", "redeliver", "redeliver_range", "rotate_secret", "send_test", "subscribe",
    "unsubscribe",
]  # fmt: skip
