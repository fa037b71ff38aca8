"""The registry as a whole: names, routes and bindings that cannot get into each other's way."""

import re
from collections import Counter

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from libs.common.contracts import default_registry
from libs.common.contracts.auth import Empty
from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Registry, Socket, Webhook
from libs.common.contracts.schema import has_field
from libs.common.contracts.webhooks import EVENTS
from services.gateway.routes import Routes

REGISTRY = default_registry()
ROUTES = [(record, binding) for record, binding in REGISTRY.bound(Http) if isinstance(record, Operation)]
EXAMPLES = {
    "delivery": "0192b0f5-8c2f-7c2b-9f6e-2f6a1b0c9d8e",
    "space_type": "post",
    "space_id": "bob/my-post",
    "id": "0192e4a0-7c1e-7000-8000-000000000000",
    "emoji": "%F0%9F%91%8D",
    "account": "alice",
    "document_id": "bob%2Fnotes",
}


def operation(name: str, *bindings: Http) -> Operation[Empty, Empty]:
    return Operation(name, "chat", Empty, Empty, Access.ANYONE, Limit(1, 1), bindings=bindings)


def test_a_name_is_declared_once() -> None:
    with pytest.raises(ValueError, match=r"test\.one is declared twice"):
        Registry([operation("test.one"), operation("test.one")])
    with pytest.raises(ValueError, match=r"test\.fact is declared twice"):
        Registry([Event("test.fact", Empty), Event("test.fact", Empty)])


def test_no_two_operations_share_a_route() -> None:
    routes = Counter((binding.method, re.sub(r"{\w+}", "{}", binding.path)) for _, binding in ROUTES)
    assert [route for route, count in routes.items() if count > 1] == []


def test_no_two_signals_share_a_name_and_a_sender() -> None:
    signals = Counter((signal.name, signal.sent_by) for signal in REGISTRY.signals)
    assert [signal for signal, count in signals.items() if count > 1] == []


def test_no_two_operations_share_a_socket_event() -> None:
    events = Counter(b.event for record, b in REGISTRY.bound(Socket) if isinstance(record, Operation))
    assert max(events.values()) == 1


def test_webhooks_have_the_names_that_may_be_subscribed_to() -> None:
    assert {binding.event for _, binding in REGISTRY.bound(Webhook)} <= set(EVENTS)


def test_an_internal_operation_has_no_way_in() -> None:
    assert [op.name for op in REGISTRY.operations if op.access is Access.INTERNAL and op.bindings] == []


def test_an_operation_that_writes_is_no_get_and_one_that_reads_is() -> None:
    assert [op.name for op, binding in ROUTES if op.writes is (binding.method == "GET")] == []


def test_path_parts_are_fields_of_the_request() -> None:
    for record, binding in ROUTES:
        for name in re.findall(r"{(\w+)}", binding.path):
            assert has_field(record.request, name), (record.name, name)


def test_a_post_that_writes_words_can_be_repeated() -> None:
    for record, _ in ROUTES:
        if record.name in ("chat.post_message", "webhooks.subscribe"):
            assert has_field(record.request, "client_message_id")


async def handled_by(registry: Registry, method: str, path: str) -> str | None:
    """The operation whose handler the router picks; None for none."""
    app, routes = web.Application(), Routes(registry, *[None] * 2)  # type: ignore[arg-type]
    routes._handler = lambda operation, _: _named(operation.name)  # type: ignore[method-assign,assignment]
    routes.add_to(app.router)

    found = await app.router.resolve(make_mocked_request(method, path))
    return getattr(found.handler, "operation", None) if found.http_exception is None else None


def _named(name: str) -> object:
    async def handler(_: web.Request) -> web.Response:
        return web.Response()

    handler.operation = name  # type: ignore[attr-defined]
    return handler


@pytest.mark.parametrize(
    ("space_type", "space_id"),
    [("post", "bob/my-post"), ("post", "bob%2Fmy-post"), ("document", "123"), ("community", "hive-123456")],
)
async def test_every_route_leads_to_its_own_operation(space_type: str, space_id: str) -> None:
    for record, binding in ROUTES:
        path = binding.path.format(**{**EXAMPLES, "space_type": space_type, "space_id": space_id})
        assert await handled_by(REGISTRY, binding.method, path) == record.name, path


async def test_a_longer_path_wins_over_a_greedy_one_whichever_is_declared_first() -> None:
    short, long = (
        Http("GET", "/api/spaces/{space_type}/{space_id}"),
        Http("GET", "/api/spaces/{space_type}/{space_id}/x"),
    )
    for order in ([("a", short), ("b", long)], [("b", long), ("a", short)]):
        registry = Registry(operation(name, binding) for name, binding in order)
        assert await handled_by(registry, "GET", "/api/spaces/post/bob/my-post/x") == "b"
        assert await handled_by(registry, "GET", "/api/spaces/post/bob/my-post") == "a"
        assert await handled_by(registry, "GET", "/api/spaces/post/bob/x") == "a", "bob's post called x"
