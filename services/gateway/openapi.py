"""OpenAPI 3.1 from the registry."""

import re
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from libs.common.contracts.registry import Access, Http, Operation, Registry
from libs.common.contracts.schema import schema_for
from libs.common.errors import CATALOGUE

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


def schemas(title: str = _TITLE) -> tuple[APISpec, MarshmallowPlugin]:
    """An empty document whose components grow as schemas are resolved in it."""
    plugin = MarshmallowPlugin(schema_name_resolver=lambda schema: type(schema).__name__)
    return APISpec(title, _VERSION, "3.1.0", plugins=[plugin]), plugin


def openapi_document(registry: Registry, public_url: str) -> dict[str, Any]:
    """Every REST route that the registry binds."""
    spec, _ = schemas()
    spec.components.schema("Error", _ERROR)
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    for operation, binding in registry.bound(Http):
        if isinstance(operation, Operation):
            spec.path(path=binding.path, operations={binding.method.lower(): _operation(operation, binding)})
    return {**spec.to_dict(), "servers": [{"url": public_url}]}


def _operation(operation: Operation[Any, Any], binding: Http) -> dict[str, Any]:
    path_names = re.findall(r"{(\w+)}", binding.path)
    described: dict[str, Any] = {
        "operationId": f"{operation.name}:{binding.path}" if len(operation.bindings) > 1 else operation.name,
        "summary": operation.summary,
        "tags": [operation.name.partition(".")[0]],
        "parameters": _parameters(operation, binding, path_names),
        "responses": {
            str(binding.status): {"description": "Done.", "content": _json(schema_for(operation.reply))},
            "default": {"description": "The error that every operation may answer with.", "content": _json("Error")},
        },
        "security": [{"token": []}] if operation.access is not Access.ANYONE else [{}, {"token": []}],
    }
    if binding.method != "GET":
        body = type(schema_for(operation.request))(exclude=_present(operation, path_names))
        described["requestBody"] = {"content": _json(body)}
    return described


def _parameters(operation: Operation[Any, Any], binding: Http, path_names: list[str]) -> list[dict[str, Any]]:
    """Path parts; and, of a GET, every other field in the query."""
    _, plugin = schemas()
    if plugin.converter is None:
        raise RuntimeError("apispec's plugin was not initialised")
    described = []
    for name, field in schema_for(operation.request).fields.items():
        if name in path_names or binding.method == "GET":
            described.append(
                {
                    "name": name,
                    "in": "path" if name in path_names else "query",
                    "required": name in path_names or field.required,
                    "schema": plugin.converter.field2property(field),
                }
            )
    return described


def _present(operation: Operation[Any, Any], names: list[str]) -> list[str]:
    return [name for name in names if name in schema_for(operation.request).fields]


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
