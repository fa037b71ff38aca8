"""AsyncAPI 3.0 from the registry: what travels on a socket, and what webhooks are sent."""

from typing import Any

import msgspec

from libs.common.contracts.registry import Event, Operation, Registry, Signal, Socket, Webhook
from libs.common.contracts.schema import schema_for
from services.gateway.openapi import schemas

_REF = "#/components/schemas/{name}Signal"  # a struct may share its name with a dataclass


def asyncapi_document(registry: Registry, public_url: str) -> dict[str, Any]:
    """One channel for the socket and one for webhooks; an operation for each direction and name."""
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
    payloads = {signal.payload for signal in registry.signals}
    _, found = msgspec.json.schema_components(payloads, ref_template=_REF)
    return {f"{name}Signal": schema for name, schema in found.items()}


class _Document:
    """Collects messages and operations, in the order of the registry."""

    def __init__(self, registry: Registry) -> None:
        self.messages: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self._channel_of: dict[str, str] = {}
        self._spec, self._plugin = schemas()
        self._hot = msgspec.json.schema_components([signal.payload for signal in registry.signals], ref_template=_REF)[
            1
        ]
        for record, socket in registry.bound(Socket):
            sent = isinstance(record, Operation)
            payload = record.request if isinstance(record, Operation) else record.payload
            direction = "receive" if sent else "send"
            self._add("socket", socket.event, direction, self._schema(payload), record.summary)
        for record, webhook in registry.bound(Webhook):
            if isinstance(record, Event):
                self._add("webhook", webhook.event, "send", self._schema(record.payload), record.summary)
        for signal in registry.signals:
            self._add_signal(signal)

    @property
    def schemas(self) -> dict[str, Any]:
        derived: dict[str, Any] = self._spec.to_dict().get("components", {}).get("schemas", {})
        return {**derived, **self._hot}

    def messages_in(self, channel: str) -> dict[str, Any]:
        names = [name for name, where in self._channel_of.items() if where == channel]
        return {name: {"$ref": f"#/components/messages/{name}"} for name in names}

    def _schema(self, payload: type) -> dict[str, Any]:
        if self._plugin.converter is None:
            raise RuntimeError("apispec's plugin was not initialised")
        resolved: dict[str, Any] = self._plugin.converter.resolve_nested_schema(schema_for(payload))  # type: ignore[no-untyped-call]
        return resolved

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
