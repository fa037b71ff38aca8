"""Makes the AsyncAPI 3.0 document from the registry: messages of the socket, and webhooks."""

from collections.abc import Mapping
from typing import Any

import msgspec

from libs.common.contracts.registry import Event, Operation, Registry, Signal, Socket, Webhook
from libs.common.contracts.schema import schema_for
from services.gateway.static.openapi import schemas

_REF = "#/components/schemas/{name}Signal"  # a struct may share its name with a dataclass


def asyncapi_document(registry: Registry, public_url: str) -> dict[str, Any]:
    """Returns the document: a channel for the socket and one for webhooks, an operation for each direction and name."""
    document = _Document(registry)
    host = public_url.split("://", 1)[-1]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "DLUX Presence sockets and webhooks", "version": "1"},
        "servers": {"socket": {"host": host, "pathname": "/socket.io/", "protocol": "socket.io"}},
        "channels": {
            "socket": {"address": "/socket.io/", "messages": document.messages_in("socket")},
            "webhook": {"address": None, "messages": document.messages_in("webhook")},
        },
        "operations": document.operations,
        "components": {"messages": document.messages, "schemas": document.schemas},
    }


def _hot_schemas(registry: Registry) -> dict[str, Any]:
    """Returns the schemas of the signals' structs, under the names that `_REF` refers to."""
    payloads = [signal.payload for signal in registry.signals]
    _, components = msgspec.json.schema_components(payloads, ref_template=_REF)
    return {f"{name}Signal": schema for name, schema in components.items()}


def _envelope(event: str, data: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a webhook's body (docs/webhooks.md)."""
    text = {"type": "string"}
    properties = {
        "id": text,
        "type": {"const": event},
        "event": {"const": event},
        "space_type": text,
        "space_id": text,
        "timestamp": {"type": "string", "format": "date-time"},
        "sequence": {"type": "integer"},
        "data": data,
    }
    return {"type": "object", "required": list(properties), "properties": properties}


class _Document:
    """Collects messages and operations, in the order of the registry."""

    def __init__(self, registry: Registry) -> None:
        self.messages: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self._channel_of: dict[str, str] = {}
        self._spec, self._plugin = schemas(registry)
        self._hot = _hot_schemas(registry)
        for record, socket in registry.bound(Socket):
            if isinstance(record, Operation):
                self._add("socket", socket.event, "receive", self._schema(record.request), record.summary)
            else:
                self._add("socket", socket.event, "send", self._seen(record.payload, socket.rename), record.summary)
        for record, webhook in registry.bound(Webhook):
            if isinstance(record, Event):
                body = _envelope(webhook.event, self._renamed(record.payload, webhook.rename))
                self._add("webhook", webhook.event, "send", body, record.summary)
        for signal in registry.signals:
            self._add_signal(signal)

    @property
    def schemas(self) -> dict[str, Any]:
        derived: dict[str, Any] = self._spec.to_dict().get("components", {}).get("schemas", {})
        return {**derived, **self._hot}

    def messages_in(self, channel: str) -> dict[str, Any]:
        names = [name for name, where in self._channel_of.items() if where == channel]
        return {name: {"$ref": f"#/components/messages/{name}"} for name in names}

    @property
    def _converter(self) -> Any:
        if self._plugin.converter is None:
            raise RuntimeError("apispec's plugin was not initialised")
        return self._plugin.converter

    def _schema(self, payload: type) -> dict[str, Any]:
        resolved: dict[str, Any] = self._converter.resolve_nested_schema(schema_for(payload))
        return resolved

    def _seen(self, payload: type, rename: Mapping[str, str]) -> dict[str, Any]:
        return self._renamed(payload, rename) if rename else self._schema(payload)

    def _renamed(self, payload: type, rename: Mapping[str, str]) -> dict[str, Any]:
        """Returns the payload's schema with its fields under the names that clients see."""
        described: dict[str, Any] = self._converter.schema2jsonschema(schema_for(payload))
        properties = {rename.get(name, name): field for name, field in described["properties"].items()}
        required = [rename.get(name, name) for name in described.get("required", [])]
        return {**described, "properties": properties, "required": required}

    def _add_signal(self, signal: Signal[Any]) -> None:
        direction = "receive" if signal.sent_by == "client" else "send"
        reference = {"$ref": _REF.format(name=signal.payload.__name__)}
        self._add("socket", signal.name, direction, reference, signal.summary)

    def _add(self, channel: str, name: str, direction: str, payload: dict[str, Any], summary: str) -> None:
        message = f"{channel}.{direction}.{name}"
        self._channel_of[message] = channel
        self.messages[message] = {"name": name, "summary": summary, "payload": payload}
        self.operations[message] = {
            "action": direction,
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": summary,
            "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
        }
