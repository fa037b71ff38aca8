"""Makes the AsyncAPI 3.0 document from the registry: messages of the socket, with their acks, and webhooks.

Fields have the names that clients use, and what the socket fills itself (the space that it is in) is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from libs.common.contracts.registry import Event, Operation, Registry, Signal, Socket, Webhook
from libs.common.contracts.schema import has_field, schema_for
from libs.common.errors import CATALOGUE
from services.gateway.static.openapi import schemas
from services.gateway.static.socket_examples import EXAMPLES
from services.gateway.static.webhook_events import summaries

OF_THE_SOCKET = ("space_type", "space_id", "subspace")  # what it says itself of a command about a space
_REFUSAL = {
    "type": "object",
    "required": ["ok", "error", "code"],
    "properties": {
        "ok": {"const": False},
        "error": {"type": "string", "description": "For people."},
        "code": {"type": "string", "enum": sorted(CATALOGUE), "description": "For programs."},
        "details": {"type": "object"},
    },
}
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
    replies = [signal.reply for signal in registry.signals if signal.reply]
    _, components = msgspec.json.schema_components([*payloads, *replies], ref_template=_REF)
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
        self._hot = {**_hot_schemas(registry), "Refusal": _REFUSAL}
        for record, socket in registry.bound(Socket):
            if isinstance(record, Operation):
                self._add("socket", socket.event, "receive", self._asked(record.request, socket.rename), record.summary)
                self._add_ack(socket.event, self._schema(record.reply))
            else:
                self._add("socket", socket.event, "send", self._seen(record.payload, socket.rename), record.summary)
        for name, summary in summaries(registry).items():
            self._add("webhook", name, "send", _envelope(name, self._data(registry, name)), summary)
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

    def _asked(self, request: type, rename: Mapping[str, str]) -> dict[str, Any]:
        """Returns the schema of a command as clients send it; `rename` has their names for ours."""
        schema = schema_for(request)
        filled = [name for name in OF_THE_SOCKET if name in schema.fields] if has_field(request, "space_id") else []
        described: dict[str, Any] = self._converter.schema2jsonschema(type(schema)(exclude=filled))
        return _under_names(described, {ours: theirs for theirs, ours in rename.items()})

    def _seen(self, payload: type, rename: Mapping[str, str]) -> dict[str, Any]:
        return self._renamed(payload, rename) if rename else self._schema(payload)

    def _renamed(self, payload: type, rename: Mapping[str, str], without: Sequence[str] = ()) -> dict[str, Any]:
        """Returns the payload's schema with its fields under the names that clients see, if they do."""
        schema = schema_for(payload)
        shown = type(schema)(exclude=[name for name in without if name in schema.fields])
        return _under_names(self._converter.schema2jsonschema(shown), rename)

    def _data(self, registry: Registry, name: str) -> dict[str, Any]:
        """Returns the schema of a webhook's `data`, or of each that it may be."""
        found = [
            self._renamed(record.payload, webhook.rename, webhook.without)
            for record, webhook in registry.bound(Webhook)
            if isinstance(record, Event) and webhook.event == name
        ]
        return found[0] if len(found) == 1 else {"oneOf": found}

    def _add_signal(self, signal: Signal[Any]) -> None:
        direction = "receive" if signal.sent_by == "client" else "send"
        reference = {"$ref": _REF.format(name=signal.payload.__name__)}
        self._add("socket", signal.name, direction, reference, signal.summary)
        if direction == "receive":
            self._add_ack(signal.name, {"$ref": _REF.format(name=signal.reply.__name__)} if signal.reply else {})

    def _add_ack(self, name: str, reply: dict[str, Any]) -> None:
        """Describes the ack of a client's message: `reply` beside `ok`, or a refusal."""
        ok: dict[str, Any] = {"type": "object", "required": ["ok"], "properties": {"ok": {"const": True}}}
        done = {"allOf": [ok, reply]} if reply else ok
        message = f"socket.ack.{name}"
        self._channel_of[message] = "socket"
        summary = "The ack: done, or why it was refused."
        payload = {"oneOf": [done, {"$ref": "#/components/schemas/Refusal"}]}
        self.messages[message] = {"name": name, "summary": summary, "payload": payload}
        self.operations[f"socket.receive.{name}"]["reply"] = {
            "channel": {"$ref": "#/channels/socket"},
            "messages": [{"$ref": f"#/channels/socket/messages/{message}"}],
        }

    def _add(self, channel: str, name: str, direction: str, payload: dict[str, Any], summary: str) -> None:
        message = f"{channel}.{direction}.{name}"
        self._channel_of[message] = channel
        self.messages[message] = {"name": name, "summary": summary, "payload": payload}
        if channel == "socket" and direction == "receive":
            self.messages[message]["examples"] = [{"payload": example} for example in EXAMPLES.get(name, ())]
        self.operations[message] = {
            "action": direction,
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": summary,
            "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
        }


def _under_names(described: dict[str, Any], rename: Mapping[str, str]) -> dict[str, Any]:
    """Returns an object's schema with other names for its fields."""
    properties = {rename.get(name, name): field for name, field in described["properties"].items()}
    required = [rename.get(name, name) for name in described.get("required", [])]
    return {**described, "properties": properties, "required": required}
