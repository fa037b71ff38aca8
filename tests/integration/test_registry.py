"""The registry earns its place: what is declared once appears everywhere, with no line changed elsewhere.

A scratch operation and a scratch event are declared here and answered by a scratch service; gateway,
realtime and webhook_dispatcher are the product's own, given a registry with two more records.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from deploy.local.ports import free_port
from deploy.local.servers.rabbitmq import RabbitMQ
from deploy.logins.passwords import with_login
from deploy.logins.rabbitmq import permission, user
from libs.common.bus import topology
from libs.common.bus.base import Caller
from libs.common.bus.rabbit import RabbitBus
from libs.common.contracts import default_registry
from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Registry, Socket, Webhook
from libs.common.contracts.schema import SpaceId, SpaceType
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog
from libs.common.service import Service
from libs.common.settings import CommonSettings, read
from libs.common.spaces import SpaceKey
from services.chat.app import build as build_chat
from services.chat.settings import Settings as ChatSettings
from services.gateway.app import build as build_gateway
from services.gateway.settings import Settings as GatewaySettings
from services.gateway.static.asyncapi import asyncapi_document
from services.gateway.static.openapi import openapi_document
from services.realtime.app import build as build_realtime
from services.realtime.settings import Settings as RealtimeSettings
from services.spaces_auth.app import build as build_spaces_auth
from services.spaces_auth.settings import Settings as SpacesAuthSettings
from services.webhook_dispatcher.app import build as build_dispatcher
from services.webhook_dispatcher.settings import Settings as DispatcherSettings
from tests.support.node import Node
from tests.support.people import Rest
from tests.support.servers import Servers, as_service
from tests.support.waiting import eventually
from tests.support.webhook_sink import WebhookSink


@dataclass(frozen=True)
class Throw:
    space_type: SpaceType
    space_id: SpaceId
    sides: int


@dataclass(frozen=True)
class Thrown:
    sides: int
    result: int


throw_dice = Operation(
    "scratch.throw_dice",
    "scratch",
    Throw,
    Thrown,
    Access.ANYONE,
    Limit(1000, 60),
    writes=True,
    bindings=(
        Http("POST", "/api/scratch/{space_type}/{space_id}/dice", status=201),
        Socket("throw-dice", rename={"numberOfSides": "sides"}),
    ),
    summary="Throw a dice that everyone sees.",
)
dice_thrown = Event(
    "scratch.dice_thrown",
    Thrown,
    bindings=(Socket("dice-thrown", rename={"result": "diceResult"}), Webhook("dice", rename={"result": "eyes"})),
    summary="A dice was thrown.",
)
REGISTRY = Registry([*default_registry().records, throw_dice, dice_thrown])


def with_scratch(rabbitmq: RabbitMQ, amqp_url: str) -> str:
    """Makes at the broker what a service with a database needs there; returns its URL."""
    vhost, itself = amqp_url.rpartition("/")[2], ("scratch",)
    rabbitmq.load(
        {
            "users": [user("scratch", "scratch")],
            "permissions": [permission("scratch", vhost, topology.permissions("scratch", itself, itself))],
            **topology.definitions(vhost, itself),
        }
    )
    return with_login(amqp_url, "scratch", "scratch")


def scratch_service(amqp_url: str, database_url: str) -> Service:
    bus, database = RabbitBus(amqp_url, "scratch"), Database(database_url, None)
    log = EventLog(database, bus)

    async def throw(caller: Caller, request: Throw) -> Thrown:
        thrown = Thrown(request.sides, request.sides)
        async with log.transaction() as tx:
            await tx.append(dice_thrown, SpaceKey(request.space_type, request.space_id), caller, lambda _: thrown)
        return thrown

    bus.serve(throw_dice, throw)
    return Service("scratch", [database, log, bus])


@dataclass(frozen=True)
class Product:
    rest: Rest
    socket_url: str


@pytest.fixture
async def product(
    servers: Servers, database_url: str, redis_url: str, amqp_url: str, hive_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Product]:
    """Five of the product's services and the scratch one, in this process, on real servers."""
    gateway_port, realtime_port = free_port(), free_port()
    scratch_url = with_scratch(servers.rabbitmq, amqp_url)
    for name, value in {
        "PRESENCE_DATABASE_URL": database_url,
        "PRESENCE_REDIS_URL": redis_url,
        "PRESENCE_HIVE_NODES": hive_url,
        "PRESENCE_PUBLIC_URL": f"http://localhost:{gateway_port}",
        "PRESENCE_SECRET_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "PRESENCE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "PRESENCE_WEBHOOK_PING": "false",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PRESENCE_HTTP_PORT", str(realtime_port))

    def settings[S: CommonSettings](cls: type[S], service: str) -> S:
        return replace(read(cls), amqp_url=as_service(amqp_url, service))

    realtime = build_realtime(settings(RealtimeSettings, "realtime"), registry=REGISTRY)
    monkeypatch.setenv("PRESENCE_HTTP_PORT", str(gateway_port))
    services = [
        scratch_service(scratch_url, database_url),
        build_spaces_auth(settings(SpacesAuthSettings, "spaces_auth")),
        build_chat(settings(ChatSettings, "chat")),
        build_dispatcher(settings(DispatcherSettings, "webhook_dispatcher"), registry=REGISTRY),
        realtime,
        build_gateway(settings(GatewaySettings, "gateway"), registry=REGISTRY),
    ]
    async with contextlib.AsyncExitStack() as running:
        for service in services:
            await service.start()
            running.push_async_callback(service.stop)
        await eventually(lambda: not any(service.not_ready() for service in services))
        rest = await running.enter_async_context(Rest(f"http://localhost:{gateway_port}", is_held=False))
        yield Product(rest, f"http://localhost:{realtime_port}")


async def test_a_declared_operation_and_event_are_everywhere(product: Product, node: Node) -> None:
    owner = await product.rest.token("alice")
    async with WebhookSink() as sink:
        subscription = {"space_type": "event", "space_id": "casino", "webhook_url": sink.url, "events": ["dice"]}
        await product.rest.post("/api/webhooks/subscribe", subscription, owner)
        player = await node.connect("player", product.socket_url, {"transports": ["websocket"]})
        watcher = await node.connect("watcher", product.socket_url, {"transports": ["websocket"]})
        await player.join("event", "casino")
        await watcher.join("event", "casino")

        over_rest = await product.rest.post("/api/scratch/event/casino/dice", {"sides": 6})
        over_socket = await player.emit("throw-dice", {"numberOfSides": 20})
        refused = await player.emit("throw-dice", {"numberOfSides": "many"})

        assert over_rest == {"sides": 6, "result": 6}
        assert over_socket == {"ok": True, "sides": 20, "result": 20}
        assert (refused["code"], refused["details"]["fields"].keys()) == ("invalid_input", {"sides"})
        for client in (player, watcher):
            seen = [await client.wait_for("dice-thrown", count=count) for count in (1, 2)]
            assert [(event["sides"], event["diceResult"]) for event in seen] == [(6, 6), (20, 20)]
            assert seen[0]["seq"] < seen[1]["seq"]
        posted = [msgspec.json.decode(request.body) for request in await sink.wait_for(2)]
        assert sorted((body["event"], body["data"]["eyes"]) for body in posted) == [("dice", 6), ("dice", 20)]
        assert {body["sequence"] for body in posted} == {event["seq"] for event in seen}


def test_the_documents_name_what_is_declared() -> None:
    openapi: Any = openapi_document(REGISTRY, "https://example.org")
    route = openapi["paths"]["/api/scratch/{space_type}/{space_id}/dice"]["post"]
    assert route["summary"] == throw_dice.summary
    assert openapi["components"]["schemas"]["Thrown"]["properties"].keys() == {"sides", "result"}
    asyncapi: Any = asyncapi_document(REGISTRY, "https://example.org")
    assert {"socket.receive.throw-dice", "socket.send.dice-thrown", "webhook.send.dice"} <= asyncapi[
        "operations"
    ].keys()
