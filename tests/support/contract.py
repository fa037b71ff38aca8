"""Holds what tests see on the wire to the documents that clients are made from: AsyncAPI and OpenAPI."""

import json
import re
from functools import cache
from typing import Any

import jsonschema_rs

from libs.common.contracts import default_registry
from services.gateway.static.asyncapi import asyncapi_document
from services.gateway.static.openapi import openapi_document

# What the robot tells of itself.
OF_THE_CLIENT = {"connect", "connect_error", "disconnect", "upgrade"}
OF_TESTS = {"dice-thrown", "throw-dice"}  # declared by tests/integration/test_registry.py alone
MOST_SHOWN = 600  # characters of what is wrong
type Route = tuple[str, re.Pattern[str], str, dict[str, Any]]  # method, path, template, operation


@cache
def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(asyncapi_document(default_registry(), "https://vr.example")))
    return document


@cache
def openapi() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(openapi_document(default_registry(), "https://vr.example")))
    return document


@cache
def _of_message(name: str) -> jsonschema_rs.Validator | None:
    message = asyncapi()["components"]["messages"].get(name)
    return _validator(message["payload"], asyncapi()) if message else None


def _validator(schema: dict[str, Any], document: dict[str, Any]) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({**schema, "components": document["components"]})


def fault_of_event(event: str, data: Any) -> str | None:
    """Returns how an event that a client heard is not as AsyncAPI says; None where it is."""
    return None if event in OF_THE_CLIENT | OF_TESTS else _fault(f"socket.send.{event}", data)


def fault_of_ack(event: str, ack: Any) -> str | None:
    """Returns how an ack is not as AsyncAPI says; of an event that does not exist it is a refusal."""
    known = f"socket.ack.{event}" in asyncapi()["components"]["messages"]
    return None if event in OF_TESTS else _fault(f"socket.ack.{event}" if known else "socket.ack.leave-space", ack)


def fault_of_taken(event: str, payload: Any) -> str | None:
    """Returns how what a server took from a client is not as AsyncAPI says that it may be."""
    payload = {} if payload is None else payload  # as the server reads it
    return None if event in OF_TESTS else _fault(f"socket.receive.{event}", payload)


def _fault(name: str, payload: Any) -> str | None:
    validator = _of_message(name)
    if validator is None:
        return f"{name} is not in AsyncAPI"
    return _first_error(validator, name, _without_bytes(payload))


def _first_error(validator: jsonschema_rs.Validator, name: str, value: Any) -> str | None:
    error = next(validator.iter_errors(value), None)
    return None if error is None else f"{name}: {str(error)[:MOST_SHOWN]}; it was {str(value)[:MOST_SHOWN]}"


def _without_bytes(payload: Any) -> Any:
    """Returns a payload with a text in the place of each attachment, as which AsyncAPI describes it."""
    if not isinstance(payload, dict):
        return payload
    return {
        name: "" if isinstance(value, dict) and value.get("type") == "Buffer" else value
        for name, value in payload.items()
    }


@cache
def _routes() -> list[Route]:
    found = []
    for template, item in openapi()["paths"].items():
        parts = re.sub(r"{(\w+)}", lambda part: ".+" if part[1] in ("space_id", "path") else "[^/]+", template)
        found += [(method.upper(), re.compile(parts), template, operation) for method, operation in item.items()]
    return sorted(found, key=lambda route: route[2].count("{"))


@cache
def _of_answer(method: str, template: str, status: str) -> jsonschema_rs.Validator | None:
    answer = openapi()["paths"][template][method.lower()]["responses"].get(status)
    content = (answer or {}).get("content", {}).get("application/json")
    return _validator(content["schema"], openapi()) if content else None


@cache
def _of_body(method: str, template: str) -> jsonschema_rs.Validator | None:
    body = openapi()["paths"][template][method.lower()].get("requestBody")
    return _validator(body["content"]["application/json"]["schema"], openapi()) if body else None


def fault_of_answer(method: str, path: str, status: int, body: Any, asked: Any = None) -> str | None:
    """Returns how a REST answer, or the body that was `asked` with and taken, is not as OpenAPI says.

    None where both are, and for a path that is no route.
    """
    routes = [route for route in _routes() if route[0] == method and route[1].fullmatch(path.partition("?")[0])]
    if not routes:
        return None
    _, _, template, _ = routes[0]
    answer, taken = _of_answer(method, template, str(status)), _of_body(method, template)
    where = f"{method} {template} {status}"
    if answer is None:
        return f"{where} is not in OpenAPI"
    fault = _first_error(answer, where, body)
    if fault is None and taken and asked is not None and status < 300:
        fault = _first_error(taken, f"{method} {template} took", asked)
    return fault
