"""A gateway on a real port and a real Redis, in front of services that a test plays itself."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp.test_utils import unused_port
from yarl import URL

from libs.common import cache
from libs.common.bus.base import Caller
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.clock import now
from libs.common.contracts import auth, chat, content, log, spaces
from libs.common.contracts.auth import Empty, Jwks
from libs.common.contracts.chat import ListMessages, MessagePage
from libs.common.contracts.content import SyncStatus, TableStatus
from libs.common.contracts.log import HeadNumbers
from libs.common.contracts.registry import Registry
from libs.common.contracts.spaces import SpaceList
from libs.common.errors import CONFLICT, PresenceError
from libs.common.identity import Identity
from libs.common.tokens import Signer
from services.gateway.app import build
from services.gateway.settings import Settings
from tests.support.settings import defaults

OPERATOR_TOKEN = "presence-operator"
ORIGIN = "https://dlux.io"


@dataclass
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass
class World:
    """`asked` is what the services were asked: (caller, request)."""

    url: str
    settings: Settings
    bus: MemoryBus
    broker: MemoryBroker
    redis: cache.RedisClient
    http: aiohttp.ClientSession
    signer: Signer
    asked: list[tuple[Caller, Any]] = field(default_factory=list)

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """`body` is JSON unless it is bytes; the path goes out as it is written."""
        if body is not None:
            options["data"] = body if isinstance(body, bytes) else json.dumps(body)
        url = URL(self.url + path, encoded=True)
        async with self.http.request(method, url, **options) as response:
            raw = await response.read()
            is_json = response.content_type == "application/json"
            return Answer(response.status, json.loads(raw) if is_json else raw, response.headers)

    def bearer(self, account: str) -> dict[str, str]:
        token, _ = self.signer.sign(Identity("account", account, account), 60)
        return {"Authorization": f"Bearer {token}"}

    @property
    def request(self) -> Any:
        return self.asked[-1][1]

    @property
    def caller(self) -> Caller:
        return self.asked[-1][0]


def is_error(answer: Answer, status: int, code: str) -> bool:
    """Asserts that an answer is an error with all its fields."""
    body = answer.body
    assert answer.status == status, body
    assert body["code"] == code
    assert body["error"]
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert set(body) <= {"error", "code", "details", "request_id"}
    return True


def _play(world: World, services: MemoryBus, jwks: list[dict[str, Any]]) -> None:
    """The services: they remember what they were asked."""

    async def keys(_: Caller, __: Empty) -> Jwks:
        return Jwks(jwks)

    async def lists(caller: Caller, request: spaces.ListSpaces) -> SpaceList:
        world.asked.append((caller, request))
        return SpaceList([], 0, None)

    async def messages(caller: Caller, request: ListMessages) -> MessagePage:
        world.asked.append((caller, request))
        return MessagePage([], False, None)

    async def posts(caller: Caller, request: chat.PostMessage) -> chat.MessageReply:
        world.asked.append((caller, request))
        raise PresenceError(CONFLICT, request.content, {"seen": request.space_id})

    async def looks(caller: Caller, request: spaces.GetSpace) -> spaces.SpaceDetail:
        world.asked.append((caller, request))
        if request.space_id == "bob/broken":
            raise ZeroDivisionError("a secret")
        raise PresenceError(CONFLICT, "seen", {"space_id": request.space_id})

    async def joins(caller: Caller, request: spaces.Join) -> spaces.Admitted:
        world.asked.append((caller, request))
        raise PresenceError(CONFLICT, "joined", {"space_id": request.space_id, "subspace": request.subspace})

    async def status(caller: Caller, request: Empty) -> SyncStatus:
        world.asked.append((caller, request))
        return SyncStatus(True, [TableStatus("posts", 7, now(), None, None)])

    async def primary_changed(caller: Caller, request: Empty) -> Empty:
        world.asked.append((caller, request))
        return Empty()

    async def heads(_: Caller, __: log.Heads) -> HeadNumbers:
        return HeadNumbers({"global:lobby": 0})

    async def me(caller: Caller, request: Empty) -> auth.Me:
        world.asked.append((caller, request))
        identity = caller.identity
        return auth.Me(identity.kind, identity.account, None, identity.display_name, identity.operator)

    services.serve(auth.jwks, keys)
    services.serve(auth.me, me)
    services.serve(spaces.list_spaces, lists)
    services.serve(spaces.get_space, looks)
    services.serve(spaces.join, joins)
    services.serve(chat.list_messages, messages)
    services.serve(chat.post_message, posts)
    services.serve(content.sync_status, status)
    services.serve(content.primary_changed, primary_changed)
    services.serve(log.heads, heads)


@contextlib.asynccontextmanager
async def running(
    redis_url: str, signer: Signer, jwks: list[dict[str, Any]], registry: Registry | None = None, **changes: Any
) -> AsyncIterator[World]:
    broker, port = MemoryBroker(), changes.pop("http_port", None) or unused_port()
    changes.setdefault("ipfs_gateway", "")  # which would need a folder
    settings = defaults(
        Settings,
        redis_url=redis_url, http_port=port, operators=("olivia",), operator_token=OPERATOR_TOKEN, **changes,
    )  # fmt: skip
    bus, services, redis = MemoryBus(broker), MemoryBus(broker), cache.RedisClient(redis_url)
    gateway = build(settings, bus, registry)
    async with aiohttp.ClientSession() as http:
        world = World(f"http://127.0.0.1:{port}", settings, services, broker, redis, http, signer)
        _play(world, services, jwks)
        await services.start()
        await gateway.start()
        try:
            yield world
        finally:
            await gateway.stop()
            await redis.stop()
            if broker.running:
                await services.stop()
