"""`python -m services.gateway.static.webhook_events docs/webhooks.md`: writes an example of each event into the page.

Both the page and OpenAPI's `webhooks` are made of the registry.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

from libs.common.contracts import default_registry
from libs.common.contracts.registry import Registry, Webhook
from libs.common.contracts.webhooks.examples import MOMENT, SPACE, WEBHOOK_ID, example_body
from libs.common.contracts.webhooks.ping import CHALLENGE_HEADER, ping_body
from libs.common.contracts.webhooks.ping import NAME as PING

BEGIN, END = "<!-- examples: made of the registry -->\n", "<!-- end of examples -->\n"
_SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature", "X-DLUX-Signature")
_BODY: dict[str, Any] = {
    "id": {"type": "string"},
    "space_type": {"type": "string"},
    "space_id": {"type": "string"},
    "timestamp": {"type": "string", "format": "date-time"},
    "sequence": {"type": "integer"},
    "data": {"type": "object"},
}


def summaries(registry: Registry) -> dict[str, str]:
    """Returns, by the names that subscribers know, what happened; of several events of one name all."""
    found: dict[str, list[str]] = {}
    for event, binding in registry.bound(Webhook):
        found.setdefault(binding.event, []).append(event.summary)
    return {name: " ".join(dict.fromkeys(texts)) for name, texts in found.items()}


def openapi_webhooks(registry: Registry) -> dict[str, Any]:
    """Returns OpenAPI's `webhooks`: each event with its body and an example, and the ping before them."""
    events = {
        name: {"post": _described(name, summary, example_body(registry, name))}
        for name, summary in summaries(registry).items()
    }
    return {**events, PING: {"post": _ping()}}


def _ping() -> dict[str, Any]:
    body = ping_body(WEBHOOK_ID.replace("msg_", "msg_ping_"), SPACE, MOMENT, "3q2-7w0vQyYJr8zjC1mXbA5nTfGhKdLs")
    described = _described(PING, "Asks a new URL whether it wants webhooks, before its first event.", body)
    schema = {"type": "string", "description": "The challenge, or `accept`; not needed where the body has it."}
    yes = {"description": "Yes, with the challenge.", "headers": {CHALLENGE_HEADER: {"schema": schema}}}
    challenge = {"name": CHALLENGE_HEADER, "in": "header", "required": True, "schema": {"type": "string"}}
    described["parameters"].append(challenge)
    described["responses"]["2XX"] = yes
    return described


def _described(name: str, summary: str, body: bytes) -> dict[str, Any]:
    of_name = {"type": "string", "const": name}
    properties = {**_BODY, "type": of_name, "event": of_name}
    schema = {"type": "object", "required": [*properties], "properties": properties}
    example = msgspec.json.decode(body)
    return {
        "operationId": f"webhook.{name}",
        "summary": summary,
        "tags": ["webhooks"],
        "parameters": [
            {"name": header, "in": "header", "required": True, "schema": {"type": "string"}} for header in _SIGNED
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}},
        "responses": {"2XX": {"description": "Delivered."}, "410": {"description": "Send nothing more."}},
    }


def examples(registry: Registry) -> str:
    """Returns the part of docs/webhooks.md that shows each event."""
    parts = [BEGIN]
    for name, summary in summaries(registry).items():
        body = msgspec.json.format(example_body(registry, name), indent=2).decode()
        parts.append(f"\n**`{name}`**: {summary}\n\n```json\n{body}\n```\n")
    return "".join([*parts, "\n", END])


def with_examples(page: str, registry: Registry) -> str:
    """Returns the page with its examples as they are now."""
    before, _, rest = page.partition(BEGIN)
    return before + examples(registry) + rest.partition(END)[2]


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(with_examples(file.read_text(), default_registry()))
