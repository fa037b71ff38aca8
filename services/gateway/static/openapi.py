"""OpenAPI 3.1 from the registry."""

import re
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow.fields import Field

from libs.common.contracts.registry import Access, Http, Operation, Registry
from libs.common.contracts.schema import FREE_JSON, TEXT, exactly_one, schema_for
from libs.common.contracts.webhooks import EventName, event_names
from libs.common.errors import CATALOGUE
from services.gateway.media import description as media
from services.gateway.static.webhook_events import openapi_webhooks

_TITLE = "DLUX Presence"
_VERSION = "1"
_ERROR = {
    "type": "object",
    "required": ["error", "code", "request_id"],
    "properties": {
        "error": {"type": "string"},
        "code": {"type": "string", "enum": sorted(CATALOGUE)},
        "details": {"type": "object"},
        "request_id": {"type": "string"},
    },
}


_TEXT = {"type": "string", "pattern": f"^{TEXT}$"}
_FREE = {"$ref": f"#/components/schemas/{FREE_JSON}"}
_ANYTHING = {
    "description": "Any JSON that can be kept: no text in it has the character U+0000.",
    "anyOf": [
        {"type": ["null", "boolean", "number"]},
        _TEXT,
        {"type": "array", "items": _FREE},
        {"type": "object", "propertyNames": _TEXT, "additionalProperties": _FREE},
    ],
}
_OF_EVERY = (400, 401, 403, 404, 429, 500, 503)
_OF_WRITES = (409, 413)

_SECURITY: dict[Access, list[Any]] = {Access.UNSEEN: [{}], Access.ANYONE: [{}, {"token": []}]}


def schemas(registry: Registry, title: str = _TITLE) -> tuple[APISpec, MarshmallowPlugin]:
    """A document whose components grow as schemas are resolved in it."""
    plugin = MarshmallowPlugin(schema_name_resolver=lambda schema: type(schema).__name__)
    spec = APISpec(title, _VERSION, "3.1.0", plugins=[plugin])
    spec.components.schema(FREE_JSON, _ANYTHING)
    _converter(plugin).add_attribute_function(lambda _, field, **__: _published(field, event_names(registry)))
    return spec, plugin


def _converter(plugin: MarshmallowPlugin) -> Any:
    if plugin.converter is None:
        raise RuntimeError("apispec's plugin was not initialised")
    return plugin.converter


def _published(field: Field[Any], events: list[str]) -> dict[str, Any]:
    """Returns what a field of the contract says of itself beyond its type and its rules."""
    if isinstance(field, EventName):
        return {"enum": events}
    return dict(field.metadata.get("published", {}))


def openapi_document(registry: Registry, public_url: str) -> dict[str, Any]:
    """Every REST route that the registry binds, the door to IPFS, and what webhooks bring."""
    spec, plugin = schemas(registry)
    spec.components.schema("Error", _ERROR)
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    for operation, binding in registry.bound(Http):
        if isinstance(operation, Operation):
            described = _operation(operation, binding, _converter(plugin))
            spec.path(path=binding.path, operations={binding.method.lower(): described})
    for path, described in media.paths().items():
        spec.path(path=path, operations=described)
    return {**spec.to_dict(), "webhooks": openapi_webhooks(registry), "servers": [{"url": public_url}]}


def _operation(operation: Operation[Any, Any], binding: Http, converter: Any) -> dict[str, Any]:
    path_names = re.findall(r"{(\w+)}", binding.path)
    described: dict[str, Any] = {
        "operationId": f"{operation.name}:{binding.path}" if len(operation.bindings) > 1 else operation.name,
        "summary": operation.summary,
        "tags": [operation.name.partition(".")[0]],
        "parameters": _parameters(operation, binding, path_names, converter),
        "responses": {
            str(binding.status): {"description": "Done.", "content": _answer(operation, binding)},
            **({"304": {"description": "It is what the caller has."}} if operation.shared else {}),
            **_errors(binding),
        },
        "security": _SECURITY.get(operation.access, [{"token": []}]),
    }
    if binding.method != "GET":
        described["requestBody"] = _body(operation, path_names, converter)
    return described


def _answer(operation: Operation[Any, Any], binding: Http) -> dict[str, Any]:
    if binding.media_type:
        return {binding.media_type: {"schema": {"type": "string"}}}
    return _json(schema_for(operation.reply))


def _errors(binding: Http) -> dict[str, Any]:
    """Returns the answers that are errors, by status, each with the codes that it has."""
    statuses = _OF_EVERY if binding.method == "GET" else (*_OF_EVERY, *_OF_WRITES)
    codes = {status: [row.code for row in CATALOGUE.values() if row.status == status] for status in sorted(statuses)}
    return {
        str(status): {"description": f"{' or '.join(named)}.", "content": _json("Error")}
        for status, named in codes.items()
    }


def _parameters(
    operation: Operation[Any, Any], binding: Http, path_names: list[str], converter: Any
) -> list[dict[str, Any]]:
    """Path parts; and, of a GET, every other field in the query."""
    return [
        {
            "name": name,
            "in": "path" if name in path_names else "query",
            "required": name in path_names or field.required,
            "schema": _never_null(converter.field2property(field)),
        }
        for name, field in schema_for(operation.request).fields.items()
        if name in path_names or binding.method == "GET"
    ]


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns a parameter's schema without the null that its field may be in a body: a URL has none."""
    described = {name: value for name, value in schema.items() if (name, value) != ("default", None)}
    if isinstance(described.get("type"), list):
        (described["type"],) = (kind for kind in described["type"] if kind != "null")
    if "enum" in described:
        described["enum"] = [value for value in described["enum"] if value is not None]
    return described


def _body(operation: Operation[Any, Any], path_names: list[str], converter: Any) -> dict[str, Any]:
    request = schema_for(operation.request)
    body = type(request)(exclude=[name for name in path_names if name in request.fields])
    described = converter.schema2jsonschema(body)
    if names := exactly_one(operation.request):
        described["oneOf"] = [{"required": [name], "properties": {name: {"type": "string"}}} for name in names]
    return {"content": _json(described), "required": bool(described.get("required") or names)}


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
