"""What webhooks bring is described from the registry: in OpenAPI, and in docs/webhooks.md."""

from typing import Any

from libs.common.contracts import default_registry
from libs.common.contracts.registry import Event, Webhook
from libs.common.contracts.schema import schema_for
from libs.common.contracts.webhooks import EVENTS, PRIVATE_FIELDS
from services.gateway.static.openapi import openapi_document
from services.gateway.static.webhook_events import examples, openapi_webhooks, with_examples
from tests.support.webhook_examples import PAGE

REGISTRY = default_registry()
WEBHOOKS: dict[str, Any] = openapi_webhooks(REGISTRY)


def example(name: str) -> Any:
    return WEBHOOKS[name]["post"]["requestBody"]["content"]["application/json"]["example"]


def test_the_page_shows_each_event_as_the_registry_has_it() -> None:
    remedy = "python -m services.gateway.static.webhook_events docs/webhooks.md"
    assert with_examples(PAGE, REGISTRY) == PAGE, remedy
    assert all(f"**`{name}`**" in examples(REGISTRY) for name in EVENTS)


def test_openapi_names_every_event_that_may_be_subscribed_to_and_the_ping() -> None:
    assert set(openapi_document(REGISTRY, "https://vr.example")["webhooks"]) == {*EVENTS, "ping"}


def test_an_example_has_each_field_that_subscribers_are_sent_and_no_other() -> None:
    seen = set()
    for event, binding in REGISTRY.bound(Webhook):
        assert isinstance(event, Event)
        if binding.event in seen:  # the first of a name is the example
            continue
        seen.add(binding.event)
        names = set(schema_for(event.payload).fields) - PRIVATE_FIELDS - set(binding.without)
        data = example(binding.event)["data"]
        assert set(data) - {"subspace"} == {binding.rename.get(name, name) for name in names} - {"subspace"}


def test_an_example_is_what_its_own_schema_allows() -> None:
    for name, described in WEBHOOKS.items():
        schema = described["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["required"]) == set(example(name))
        assert (example(name)["type"], example(name)["event"]) == (name, name)
