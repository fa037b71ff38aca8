"""Every exchange, queue, key and limit on the broker, and what each service's user may do with them.

The broker makes all of it when it starts, from `definitions` (deploy/logins), so that a call or an event sent before a
service's first start waits for it, and so that no service may make or delete anything but its own reply queues.
Arguments may not change without a new queue name: the broker refuses a redeclaration that differs.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from libs.common.contracts.registry import Operation

CALLS_EXCHANGE: Final = "presence.calls"  # direct; routing key = queue
REPLIES_EXCHANGE: Final = "presence.replies"  # direct; routing key = the caller's reply queue
EVENTS_EXCHANGE: Final = "presence.events"  # topic; routing key = event name
DEAD_EXCHANGE: Final = "presence.dead"  # direct; routing key = the queue an event died in

MAX_CALLS_WAITING: Final = 10_000  # per queue; more are refused, and the caller gets `unavailable`
CALLS_IN_PROGRESS: Final = 64  # per process and queue
DELIVERY_LIMIT: Final = 3  # redeliveries of an event whose handler fails; then it is dead
LATER_SECONDS: Final = 30.0  # until events that could not be read are given out again
KEPT_SECONDS: Final = 24 * 3600  # for which they are; then they are dead

CALLERS: Final = ("gateway", "realtime")  # the edges: nobody else asks anything
SERVERS: Final = ("spaces_auth", "chat", "sync_worker", "webhook_dispatcher")
PUBLISHERS: Final = ("spaces_auth", "chat", "sync_worker")  # those that write to the log
EVENT_GROUPS: Final = ("realtime", "webhook_dispatcher", "spaces_auth")


def call_queue(operation: Operation[Any, Any]) -> str:
    """Reads and writes wait apart, so that neither can starve the other."""
    return f"{operation.service}.{'writes' if operation.writes else 'reads'}"


def call_queues(server: str) -> tuple[str, str]:
    return f"{server}.reads", f"{server}.writes"


def reply_queues(caller: str) -> str:
    """The beginning of a caller's reply queues. What follows is random, so that nobody else can name one."""
    return f"{caller}.replies."


def event_queue(group: str) -> str:
    return f"{group}.events"


def again_exchange(group: str) -> str:
    """Fanout, into the group's own queue alone: events that came together go back through it one by one."""
    return f"{group}.events.again"


def later_queue(group: str) -> str:
    """Also its exchange's name: fanout, into this queue alone. Messages expire here and go back through `again`."""
    return f"{group}.events.later"


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


def later_queue_arguments(group: str) -> dict[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": again_exchange(group),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # which that strategy needs
    }


def definitions(vhost: str, servers: Iterable[str] = SERVERS) -> dict[str, Any]:
    """Returns everything on a virtual host in RabbitMQ's own form (`load_definitions`)."""
    calls = [queue for server in servers for queue in call_queues(server)]
    exchanges = {
        CALLS_EXCHANGE: "direct",
        REPLIES_EXCHANGE: "direct",
        EVENTS_EXCHANGE: "topic",
        DEAD_EXCHANGE: "direct",
    }
    queues = dict.fromkeys(calls, CALL_QUEUE_ARGUMENTS)
    bindings = [(CALLS_EXCHANGE, queue, queue) for queue in calls]
    for group in EVENT_GROUPS:
        exchanges |= {again_exchange(group): "fanout", later_queue(group): "fanout"}
        queues |= {
            event_queue(group): event_queue_arguments(group),
            later_queue(group): later_queue_arguments(group),
            dead_queue(group): {"x-queue-type": "quorum"},
        }
        bindings += [
            (EVENTS_EXCHANGE, event_queue(group), "#"),
            (again_exchange(group), event_queue(group), ""),
            (later_queue(group), later_queue(group), ""),
            (DEAD_EXCHANGE, dead_queue(group), dead_queue(group)),
        ]
    place = {"vhost": vhost, "durable": True, "auto_delete": False}
    return {
        "exchanges": [
            {"name": name, "type": kind, "internal": False, "arguments": {}, **place}
            for name, kind in exchanges.items()
        ],
        "queues": [{"name": name, "arguments": arguments, **place} for name, arguments in queues.items()],
        "bindings": [
            {
                "source": source, "vhost": vhost, "destination": queue, "destination_type": "queue",
                "routing_key": key, "arguments": {},
            }
            for source, queue, key in bindings
        ],
    }  # fmt: skip


def permissions(
    service: str, servers: Iterable[str] = SERVERS, publishers: Iterable[str] = PUBLISHERS
) -> dict[str, str]:
    """Returns what a service's user may configure, write and read: regular expressions over names.

    Nobody may write to the broker's default exchange, which leads into every queue.
    """
    makes: list[str] = []
    writes: list[str] = []
    reads: list[str] = []
    if service in CALLERS:
        own = re.escape(reply_queues(service)) + ".*"
        makes, writes, reads = [own], [own, re.escape(CALLS_EXCHANGE)], [own, re.escape(REPLIES_EXCHANGE)]
    if service in servers:
        writes.append(re.escape(REPLIES_EXCHANGE))
        reads += map(re.escape, call_queues(service))
    if service in publishers:
        writes.append(re.escape(EVENTS_EXCHANGE))
    if service in EVENT_GROUPS:
        writes += [re.escape(again_exchange(service)), re.escape(later_queue(service))]
        reads += [re.escape(event_queue(service)), re.escape(dead_queue(service))]
    return {"configure": _any_of(makes), "write": _any_of(writes), "read": _any_of(reads)}


def _any_of(patterns: list[str]) -> str:
    return f"^({'|'.join(patterns)})$" if patterns else "^$"
