"""Makes the body of a webhook: an event under the names that subscribers know."""

from typing import Any

import msgspec

from libs.common.clock import rfc3339
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Registry, Webhook
from libs.common.contracts.webhooks.subscriptions import PRIVATE_FIELDS


def webhooks_of(registry: Registry, event_name: str) -> dict[str, Webhook]:
    """Returns the webhook bindings of an event by the name that subscribers know; none for an unknown event."""
    declared = registry.event(event_name)
    return {b.event: b for b in declared.bindings if isinstance(b, Webhook)} if declared else {}


def data_of(event: LoggedEvent, binding: Webhook) -> dict[str, Any]:
    """Returns the payload with its fields renamed as the binding says (`content` is `message` there).

    What is not for subscribers is left out, one level down as well: a comment lies inside its event.
    """
    hidden = PRIVATE_FIELDS.union(binding.without)
    shown = {name: _shown(value) for name, value in event.payload.items() if name not in hidden}
    renamed = {binding.rename.get(name, name): value for name, value in shown.items()}
    return renamed if event.subspace is None else {"subspace": event.subspace, **renamed}


def _shown(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: inner for name, inner in value.items() if name not in PRIVATE_FIELDS}


def body_of(event: LoggedEvent, webhook_id: str, binding: Webhook) -> bytes:
    """Returns the bytes to send. The planner freezes them: every attempt sends the same ones, until the words in
    them are taken back.

    The name of the event stands twice: as `type`, which Standard Webhooks asks for, and as `event`.
    """
    return msgspec.json.encode(
        {
            "id": webhook_id,
            "type": binding.event,
            "event": binding.event,
            "space_type": event.space_type,
            "space_id": event.space_id,
            "timestamp": rfc3339(event.occurred_at),
            "sequence": event.seq,
            "data": data_of(event, binding),
        }
    )
