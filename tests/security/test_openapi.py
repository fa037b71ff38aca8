"""The server keeps to what OpenAPI says of it, asked by a guest, an account and an operator with requests made from it.

What OpenAPI lets through is not refused as malformed, and nothing is answered with a status or a body that it does not
describe, or with an error of ours.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from deploy.local.keys import sign_text
from deploy.local.stack import Stack
from libs.common.contracts import default_registry
from services.gateway.static.openapi import openapi_document
from tests.support.people import OPERATOR
from tests.support.servers import RunStack

GOOD, BAD = 6, 2  # requests of an operation, each sent by three people
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPENAPI = schemathesis.openapi.from_dict(openapi_document(default_registry(), "http://localhost"))
_FOUND: list[Any] = list(OPENAPI.get_all_operations())
OPERATIONS = {found.ok().label: found.ok() for found in _FOUND}
SPACES = {"post": "alice/my-360-photo", "document": "123", "global": "lobby", "event": "meeting"}
# What hangs on the clock, on another field or on a name within a text, which OpenAPI cannot say: operation -> fields.
UNSTATED = {
    "POST /api/events": {"starts_at", "ends_at", "password", "space_id"},
    "GET /api/webhooks": {"space", "space_type", "space_id"},
    "POST /api/webhooks/{id}/redeliver": {"since", "until"},
    "GET /api/media/{cid}/{path}": {"path"},
}
UNDERSTOOD = settings(
    derandomize=True, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)

# The formats that OpenAPI names and JSON Schema does not know.
ADDRESSES = st.ip_addresses().map(str) | st.ip_addresses(v=4).map(lambda address: f"{address}/24")
schemathesis.openapi.format("address-range", ADDRESSES)
schemathesis.openapi.format("emoji", st.sampled_from(["👍", "❤️", "🎉", "👩‍🚀", "🇩🇪", "1️⃣"]))
schemathesis.openapi.format("webhook-url", st.from_regex(r"https://1\.1\.1\.1/[a-z]{1,20}", fullmatch=True))


@OPENAPI.hook
def map_query(_: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """A cursor is what the list itself gave: no request that is made without having asked has one."""
    return query and {name: value for name, value in query.items() if name != "cursor"}


@OPENAPI.hook
def map_path_parameters(_: Any, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Every second request is about something that exists."""
    if not parameters or len(str(parameters)) % 2:
        return parameters
    known = {"space_id": SPACES.get(parameters.get("space_type", "")), "document_id": SPACES["document"]}
    return {name: known.get(name) or value for name, value in parameters.items()}


@pytest.fixture(scope="module")
async def asked(run_stack: RunStack) -> AsyncIterator[Stack]:
    """A stack of its own, since an operator who tries everything leaves nothing as it was."""
    async with run_stack(PRESENCE_RATE_LIMIT_FACTOR="0") as running:
        yield running


@pytest.fixture(scope="module")
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def people(asked: Stack, http: requests.Session) -> list[dict[str, str]]:
    """The headers of a guest, an account that has just logged in (it may log out), and an operator."""
    challenge = http.post(f"{asked.url}/api/auth/challenge", json={"account": "alice"}).json()["challenge"]
    signed = {"account": "alice", "challenge": challenge, "signature": sign_text("alice", challenge)}
    token = http.post(f"{asked.url}/api/auth/login", json=signed).json()["token"]
    return [{}, {"Authorization": f"Bearer {token}"}, {"Authorization": f"Bearer {OPERATOR}"}]


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_openapi_allows_is_understood_and_answered_as_it_says(
    asked: Stack, http: requests.Session, people: list[dict[str, str]], label: str
) -> None:
    @settings(UNDERSTOOD, max_examples=GOOD)
    @given(OPERATIONS[label].as_strategy(GenerationMode.POSITIVE))
    def ask(case: Case[Any]) -> None:
        for headers in people:
            response = case.call(asked.url, http, headers)
            if response.status_code == 400:
                fields = response.json().get("details", {}).get("fields", {}).keys()
                refused = f"refused, which OpenAPI does not state: {response.json()}"
                assert fields, refused
                assert fields <= UNSTATED.get(label, set()), refused
            case.validate_response(response, CHECKS)

    ask()


@pytest.mark.parametrize("label", [label for label, one in OPERATIONS.items() if one.path_parameters or one.body])
def test_what_openapi_does_not_allow_is_an_error_that_it_describes(
    asked: Stack, http: requests.Session, people: list[dict[str, str]], label: str
) -> None:
    @settings(UNDERSTOOD, max_examples=BAD)
    @given(OPERATIONS[label].as_strategy(GenerationMode.NEGATIVE))
    def ask(case: Case[Any]) -> None:
        for headers in people:
            case.validate_response(case.call(asked.url, http, headers), CHECKS)

    ask()
