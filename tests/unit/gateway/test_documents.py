"""The documents made from the registry: everything is in them, and nothing in them points nowhere."""

import json
import re
import warnings
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from libs.common.contracts import default_registry
from libs.common.contracts.registry import Access, Event, Http, Operation, Socket, Webhook
from libs.common.contracts.schema import schema_for
from libs.common.errors import CATALOGUE
from services.gateway.static.asyncapi import asyncapi_document
from services.gateway.static.openapi import openapi_document

REGISTRY = default_registry()
with warnings.catch_warnings():
    warnings.simplefilter("error")
    OPENAPI: dict[str, Any] = json.loads(json.dumps(openapi_document(REGISTRY, "https://vr.example")))
    ASYNCAPI: dict[str, Any] = json.loads(json.dumps(asyncapi_document(REGISTRY, "https://vr.example")))
METHODS = {"get", "put", "post", "delete", "patch"}


def described() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in OPENAPI["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def resolved(document: Any, reference: str) -> Any:
    assert reference.startswith("#/"), reference
    found = document
    for part in reference[2:].split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = list(references(document))
    assert found
    for reference in found:
        assert resolved(document, reference) is not None, reference


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_component_names_are_what_the_specifications_allow(document: dict[str, Any]) -> None:
    for kind in document["components"].values():
        for name in kind:
            assert re.fullmatch(r"[A-Za-z0-9._-]+", name), name


def test_openapi_is_a_document_of_its_version() -> None:
    assert OPENAPI["openapi"].startswith("3.1.")
    assert OPENAPI["info"].keys() >= {"title", "version"}
    assert OPENAPI["servers"] == [{"url": "https://vr.example"}]
    for path, method, operation in described():
        assert path.startswith("/")
        assert method in METHODS
        assert operation["responses"]
        for answer in operation["responses"].values():
            assert answer["description"]


def test_openapi_names_every_route_and_no_other() -> None:
    declared = {(b.path, b.method.lower()) for record, b in REGISTRY.bound(Http) if isinstance(record, Operation)}
    media = {("/api/media/{cid}", "get"), ("/api/media/{cid}/{path}", "get")}  # which is no operation
    assert {(path, method) for path, method, _ in described()} == declared | media


def test_every_operation_has_an_id_of_its_own() -> None:
    names = [operation["operationId"] for _, _, operation in described()]
    assert len(names) == len(set(names))


def test_every_path_part_is_declared_and_required_and_no_parameter_twice() -> None:
    for path, _, operation in described():
        parameters = [(one["in"], one["name"]) for one in operation["parameters"]]
        assert len(parameters) == len(set(parameters))
        assert {name for place, name in parameters if place == "path"} == set(re.findall(r"{(\w+)}", path))
        for one in operation["parameters"]:
            assert one["schema"]
            assert one["required"] or one["in"] == "query"


def test_fields_are_in_the_query_of_a_get_and_in_the_body_of_the_rest() -> None:
    for record, binding in REGISTRY.bound(Http):
        assert isinstance(record, Operation)
        operation = OPENAPI["paths"][binding.path][binding.method.lower()]
        path_parts = set(re.findall(r"{(\w+)}", binding.path))
        others = set(schema_for(record.request).fields) - path_parts
        query = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
        if binding.method == "GET":
            assert "requestBody" not in operation
            assert query == others
        else:
            assert not query
            assert body_fields(operation) == others, binding.path


def body_fields(operation: dict[str, Any]) -> set[str]:
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = resolved(OPENAPI, schema["$ref"])
    return set(schema.get("properties", {}))


def test_a_success_is_described_with_its_status_and_every_error_with_its_own() -> None:
    errors = {"400", "401", "403", "404", "429", "500", "503"}
    for record, binding in REGISTRY.bound(Http):
        answers = OPENAPI["paths"][binding.path][binding.method.lower()]["responses"]
        of_writes = set() if binding.method == "GET" else {"409", "413"}
        unchanged = {"304"} if getattr(record, "shared", None) else set()
        assert set(answers) == {str(binding.status), *unchanged, *errors, *of_writes}, record.name


def patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("pattern"), str):
            yield value["pattern"]
        for part in value.values():
            yield from patterns(part)
    elif isinstance(value, list):
        for part in value:
            yield from patterns(part)


def test_patterns_are_anchored_and_have_nothing_that_only_python_reads() -> None:
    found = set(patterns(OPENAPI))
    assert len(found) > 10
    for pattern in found:
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        assert not re.search(r"\\[AZU]|\(\?[P#aiLmsux<]", pattern), pattern


def test_what_a_request_has_exactly_one_of_is_stated() -> None:
    kick = OPENAPI["paths"]["/api/spaces/{space_type}/{space_id}/kick"]["post"]
    alternatives = kick["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert [one["required"] for one in alternatives] == [["account"], ["guest_id"], ["address"], ["socket_id"]]


def test_events_are_those_that_the_registry_has() -> None:
    subscribe = OPENAPI["paths"]["/api/webhooks/subscribe"]["post"]
    events = subscribe["requestBody"]["content"]["application/json"]["schema"]["properties"]["events"]
    assert set(events["items"]["enum"]) >= {binding.event for _, binding in REGISTRY.bound(Webhook)}
    assert events["minItems"] == 1


def test_a_body_is_required_where_something_in_it_is() -> None:
    for path, method, needed in (
        ("/api/auth/login", "post", True),
        ("/api/auth/logout", "post", False),
        ("/api/spaces/{space_type}/{space_id}/bans", "delete", True),
    ):
        assert OPENAPI["paths"][path][method]["requestBody"]["required"] is needed


def test_the_error_has_every_code_of_the_catalogue() -> None:
    assert OPENAPI["components"]["schemas"]["Error"]["properties"]["code"]["enum"] == sorted(CATALOGUE)


def test_operations_that_need_a_token_say_so() -> None:
    assert OPENAPI["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    for record, binding in REGISTRY.bound(Http):
        assert isinstance(record, Operation)
        security = OPENAPI["paths"][binding.path][binding.method.lower()]["security"]
        assert ({} in security) is (record.access in (Access.ANYONE, Access.UNSEEN)), binding.path
        assert ({"token": []} in security) is (record.access is not Access.UNSEEN), binding.path


def test_asyncapi_is_a_document_of_its_version() -> None:
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert ASYNCAPI["servers"]["socket"]["host"] == "vr.example"
    for operation in ASYNCAPI["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = resolved(ASYNCAPI, operation["channel"]["$ref"])
        for message in operation["messages"]:
            assert resolved(ASYNCAPI, message["$ref"]) in channel["messages"].values()


def messages(channel: str, action: str) -> set[str]:
    """Names of what travels on a channel in one direction, as clients see them."""
    return {
        resolved(ASYNCAPI, resolved(ASYNCAPI, one["$ref"])["$ref"])["name"]
        for operation in ASYNCAPI["operations"].values()
        if operation["channel"]["$ref"] == f"#/channels/{channel}" and operation["action"] == action
        for one in operation["messages"]
    }


def test_asyncapi_names_every_socket_event_and_signal_in_its_direction() -> None:
    """`receive` is what the server receives."""
    bound = list(REGISTRY.bound(Socket))
    commands = {b.event for record, b in bound if isinstance(record, Operation)}
    events = {b.event for record, b in bound if isinstance(record, Event)}
    assert messages("socket", "receive") == commands | {s.name for s in REGISTRY.signals if s.sent_by == "client"}
    assert messages("socket", "send") == events | {s.name for s in REGISTRY.signals if s.sent_by == "server"}


RECEIVED = [name for name in ASYNCAPI["operations"] if name.startswith("socket.receive.")]


def test_everything_that_a_client_sends_has_a_reply_that_is_done_or_a_refusal() -> None:
    for name in RECEIVED:
        (reference,) = ASYNCAPI["operations"][name]["reply"]["messages"]
        ack = resolved(ASYNCAPI, resolved(ASYNCAPI, reference["$ref"])["$ref"])["payload"]
        validator = jsonschema_rs.validator_for({**ack, "components": ASYNCAPI["components"]})
        assert validator.is_valid({"ok": False, "error": "Too fast.", "code": "rate_limited"}), name
        assert not validator.is_valid({}), name
        assert not validator.is_valid({"ok": False}), name


def test_a_client_is_asked_for_its_own_names_and_for_nothing_that_the_socket_fills() -> None:
    for record, binding in REGISTRY.bound(Socket):
        if isinstance(record, Operation):
            fields = ASYNCAPI["components"]["messages"][f"socket.receive.{binding.event}"]["payload"]["properties"]
            assert set(binding.rename) <= set(fields), binding.event
            assert not set(binding.rename.values()) & set(fields), binding.event
            assert not {"space_type", "space_id", "subspace"} & set(fields), binding.event


@pytest.mark.parametrize("name", RECEIVED)
def test_everything_that_a_client_sends_has_examples_that_are_right(name: str) -> None:
    message = ASYNCAPI["components"]["messages"][name]
    assert message["examples"]
    validator = jsonschema_rs.validator_for({**message["payload"], "components": ASYNCAPI["components"]})
    for example in message["examples"]:
        validator.validate(example["payload"])


def test_a_snapshot_says_of_what_its_lists_and_settings_are() -> None:
    fields = ASYNCAPI["components"]["schemas"]["SpaceJoinedSignal"]["properties"]
    items = {name: fields[name]["items"]["$ref"].rpartition("/")[2] for name in ("entities", "things", "messages")}
    assert items == {"entities": "EntityEventOutSignal", "things": "ThingSignal", "messages": "Message"}
    assert fields["settings"]["$ref"].endswith("/SpaceSettings")


def test_asyncapi_names_every_webhook() -> None:
    assert messages("webhook", "send") == {binding.event for _, binding in REGISTRY.bound(Webhook)}


def test_a_payload_is_described_with_the_names_that_clients_see() -> None:
    join = ASYNCAPI["components"]["messages"]["socket.receive.join-space"]["payload"]
    assert {"spaceType", "spaceId", "position"} <= set(resolved(ASYNCAPI, join["$ref"])["properties"])
    posted = ASYNCAPI["components"]["messages"]["socket.send.chat-message"]["payload"]
    assert {"id", "seq", "content"} <= set(resolved(ASYNCAPI, posted["$ref"])["properties"])


def test_a_renamed_field_of_a_socket_event_is_described_under_its_clients_name() -> None:
    for record, binding in REGISTRY.bound(Socket):
        if isinstance(record, Event) and binding.rename:
            described = ASYNCAPI["components"]["messages"][f"socket.send.{binding.event}"]["payload"]
            assert set(binding.rename.values()) <= set(described["properties"]), binding.event
            assert not set(binding.rename) & set(described["properties"]), binding.event


def test_a_webhook_is_described_as_it_is_sent() -> None:
    """An envelope around `data`, in which a field has the name that its binding gives it."""
    body = ASYNCAPI["components"]["messages"]["webhook.send.chat"]["payload"]
    assert set(body["properties"]) == {
        "id", "type", "event", "space_type", "space_id", "timestamp", "sequence", "data",
    }  # fmt: skip
    assert body["properties"]["event"] == {"const": "chat"}
    data = body["properties"]["data"]
    assert "message" in data["properties"]
    assert "content" not in data["properties"]


FREE = {"FreeJson", "Error.details"}  # whatever it is


def untyped(schema: dict[str, Any], path: str, seen: set[str]) -> Iterator[str]:
    """Names the parts of a schema that say nothing of what they are."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen | FREE:
            seen.add(name)
            yield from untyped(OPENAPI["components"]["schemas"][name], name, seen)
        return
    alternatives = [part for word in ("anyOf", "oneOf", "allOf") for part in schema.get(word, ())]
    for part in alternatives:
        yield from untyped(part, path, seen)
    more = schema.get("additionalProperties")
    says_nothing = not alternatives and not schema.keys() & {"type", "const", "enum"}
    if says_nothing or (schema.get("type") == "object" and "properties" not in schema and not more):
        yield path
    for name, part in schema.get("properties", {}).items():
        yield from untyped(part, f"{path}.{name}", seen)
    for part in (schema.get("items"), more):
        if isinstance(part, dict):
            yield from untyped(part, f"{path}[]", seen)


def test_no_answer_has_a_part_that_says_nothing_of_what_it_is() -> None:
    seen: set[str] = set()
    found = [
        part
        for path, method, operation in described()
        for status, answer in operation["responses"].items()
        for content in answer.get("content", {}).values()
        for part in untyped(content["schema"], f"{method} {path} {status}", seen)
    ]
    assert set(found) - FREE == set()
