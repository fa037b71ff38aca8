"""Every exchange, queue, key and limit on the broker.

Each process declares all of the event side when it connects, so that an event published before a
consumer's first start waits for it. Arguments may not change without a new queue name: the broker
refuses a redeclaration that differs.
"""

from typing import Any, Final

from libs.common.contracts.registry import Operation

CALLS_EXCHANGE: Final = "presence.calls"  # direct; routing key = queue
EVENTS_EXCHANGE: Final = "presence.events"  # topic; routing key = event name
DEAD_EXCHANGE: Final = "presence.dead"  # direct; routing key = the queue an event died in

MAX_CALLS_WAITING: Final = 10_000  # per queue; more are refused, and the caller gets `unavailable`
CALLS_IN_PROGRESS: Final = 64  # per process and queue
DELIVERY_LIMIT: Final = 3  # redeliveries of an event whose handler fails; then it is dead

EVENT_GROUPS: Final = ("realtime", "webhook_dispatcher", "spaces_auth")


def call_queue(operation: Operation[Any, Any]) -> str:
    """Reads and writes wait apart, so that neither can starve the other."""
    return f"{operation.service}.{'writes' if operation.writes else 'reads'}"


def event_queue(group: str) -> str:
    return f"{group}.events"


def dead_queue(group: str) -> str:
    return f"{group}.events.dead"


CALL_QUEUE_ARGUMENTS: Final[dict[str, Any]] = {"x-max-length": MAX_CALLS_WAITING, "x-overflow": "reject-publish"}


def event_queue_arguments(group: str) -> dict[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-routing-key": dead_queue(group),
    }
