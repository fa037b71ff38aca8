"""The posting authority: cached for a minute, never stale against its owner."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.local.keys import public_key
from libs.common import cache
from libs.common.errors import UNAUTHORIZED, UNAVAILABLE, ErrorCode, PresenceError
from libs.common.hive import HiveClient
from services.spaces_auth.login.hive_authority import HiveAuthority
from tests.support.refusals import refusal

OLD, NEW, OTHER = public_key("alice", "posting"), public_key("bob", "posting"), public_key("carol", "posting")


class Node:
    """A Hive node whose one account's posting authority a test can change. `asked` counts questions."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Any = None
        self.posting(threshold=1, keys={OLD: 1})
        self.down = False

    def posting(self, threshold: int, keys: dict[str, int]) -> None:
        authority = {"weight_threshold": threshold, "account_auths": [["mallory", 1]], "key_auths": [*keys.items()]}
        self.answer = {"result": [{"name": "alice", "posting": authority, "memo_key": OTHER}]}

    async def handle(self, request: web.Request) -> web.Response:
        if self.down:
            raise web.HTTPBadGateway
        self.asked += 1
        question = msgspec.json.decode(await request.read())
        assert (question["method"], question["params"]) == ("condenser_api.get_accounts", [["alice"]])
        return web.json_response({"jsonrpc": "2.0", "id": question["id"], **self.answer})


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
async def authority(node: Node, redis_url: str) -> AsyncIterator[HiveAuthority]:
    app = web.Application()
    app.router.add_post("/", node.handle)
    async with TestServer(app) as server:
        hive, redis = HiveClient([str(server.make_url("/"))], timeout=2.0), cache.RedisClient(redis_url)
        await hive.start()
        yield HiveAuthority(hive, redis.redis)
        await hive.stop()
        await redis.stop()


async def refused(authority: HiveAuthority, key: str, kind: ErrorCode = UNAUTHORIZED) -> None:
    with pytest.raises(PresenceError) as raised:
        await authority.require_posting_keys("alice", {key})
    assert raised.value.kind is kind


async def test_the_posting_key_is_looked_up_once_in_a_minute(authority: HiveAuthority, node: Node) -> None:
    for _ in range(3):
        await authority.require_posting_keys("alice", {OLD})
    assert node.asked == 1


async def test_a_cached_authority_expires_within_a_minute(authority: HiveAuthority) -> None:
    await authority.require_posting_keys("alice", {OLD})
    assert 0 < await authority._redis.ttl(cache.authority("alice")) <= 60


async def test_a_new_key_works_at_once(authority: HiveAuthority, node: Node) -> None:
    await authority.require_posting_keys("alice", {OLD})
    node.posting(threshold=1, keys={NEW: 1})
    await authority.require_posting_keys("alice", {NEW})
    assert node.asked == 2, "one look past the cache"
    await refused(authority, OLD)


async def test_a_wrong_key_costs_one_look(authority: HiveAuthority, node: Node) -> None:
    await refused(authority, OTHER)
    assert node.asked == 1
    await refused(authority, OTHER)
    assert node.asked == 2


async def test_a_key_below_the_threshold_does_not_suffice(authority: HiveAuthority, node: Node) -> None:
    node.posting(threshold=2, keys={OLD: 1, NEW: 2})
    await refused(authority, OLD)
    await authority.require_posting_keys("alice", {NEW})


async def test_a_key_of_no_weight_never_suffices(authority: HiveAuthority, node: Node) -> None:
    node.posting(threshold=0, keys={OLD: 0})
    await refused(authority, OLD)


async def test_a_node_that_is_down_is_unavailable_and_never_a_yes(authority: HiveAuthority, node: Node) -> None:
    node.down = True
    await refused(authority, OLD, UNAVAILABLE)


async def test_an_unmatched_key_is_no_stale_no_while_the_node_is_down(authority: HiveAuthority, node: Node) -> None:
    await authority.require_posting_keys("alice", {OLD})
    node.down = True
    await authority.require_posting_keys("alice", {OLD})
    await refused(authority, NEW, UNAVAILABLE)


@pytest.mark.parametrize(
    "answer", [{"result": []}, {"result": None}, {"error": {"code": -32000, "message": "no"}}], ids=str
)
async def test_an_account_that_does_not_exist_is_unauthorized(
    authority: HiveAuthority, node: Node, answer: Any
) -> None:
    node.answer = answer
    await refused(authority, OLD)


@pytest.mark.parametrize(
    "result",
    [
        [{}], ["alice"], {"alice": {}}, [None], 5, [{"name": "alice", "posting": None}],
        [{"name": "bob", "posting": {"weight_threshold": 1, "key_auths": [[OLD, 1]]}}],
        [{"name": "alice", "posting": {"weight_threshold": "one", "key_auths": []}}],
        [{"name": "alice", "posting": {"weight_threshold": 1, "key_auths": [[OLD]]}}],
    ],
    ids=str,
)  # fmt: skip
async def test_a_node_that_talks_nonsense_is_as_good_as_none(authority: HiveAuthority, node: Node, result: Any) -> None:
    """Among it: another account's authority."""
    node.answer = {"result": result}
    await refused(authority, OLD, UNAVAILABLE)


async def test_the_weights_of_several_keys_add_up(authority: HiveAuthority, node: Node) -> None:
    node.posting(threshold=3, keys={OLD: 1, NEW: 2, OTHER: 1})
    await authority.require_posting_keys("alice", {OLD, NEW})
    for too_few in ({OLD, OTHER}, {NEW}, set[str]()):
        with pytest.raises(PresenceError):
            await authority.require_posting_keys("alice", too_few)


class Nodes:
    """Several nodes, of which some are down, hang, or name another's key."""

    def __init__(self, *kinds: str) -> None:
        self.nodes = [Node() for _ in kinds]
        self.hanging = asyncio.Event()
        for node, kind in zip(self.nodes, kinds, strict=True):
            node.down = kind == "down"
            if kind == "lying":
                node.posting(threshold=1, keys={OTHER: 1})
            if kind == "hanging":
                node.handle = self._hang  # type: ignore[method-assign,assignment]

    async def _hang(self, _: web.Request) -> web.Response:
        await self.hanging.wait()
        raise web.HTTPBadGateway

    @contextlib.asynccontextmanager
    async def authority(self, redis_url: str) -> AsyncIterator[HiveAuthority]:
        async with contextlib.AsyncExitStack() as running:
            urls = []
            for node in self.nodes:
                app = web.Application()
                app.router.add_post("/", node.handle)
                urls.append(str((await running.enter_async_context(TestServer(app))).make_url("/")))
            hive, redis = HiveClient(urls, timeout=1.0), cache.RedisClient(redis_url)
            await hive.start()
            yield HiveAuthority(hive, redis.redis)
            self.hanging.set()
            await hive.stop()
            await redis.stop()


@pytest.mark.parametrize(
    ("kinds", "outcome"),
    [
        (("good", "good", "good"), "ok"), (("down", "good", "good"), "ok"), (("good", "down", "good"), "ok"),
        (("hanging", "good", "good"), "ok"), (("lying", "good", "good"), "ok"), (("good", "lying", "good"), "ok"),
        (("lying", "good"), "unavailable"), (("lying", "down", "good"), "unavailable"),
        (("down", "down", "good"), "unavailable"), (("hanging", "hanging", "good"), "unavailable"),
        (("down", "down", "down"), "unavailable"), (("lying", "lying", "good"), "unauthorized"), (("good",), "ok"),
    ],
    ids=str,
)  # fmt: skip
async def test_two_nodes_must_agree_where_there_are_two(kinds: tuple[str, ...], outcome: str, redis_url: str) -> None:
    async with Nodes(*kinds).authority(redis_url) as authority:
        assert await refusal(authority.require_posting_keys("alice", {OLD})) == outcome


async def test_a_node_that_lies_lets_nobody_in(redis_url: str) -> None:
    async with Nodes("lying", "good", "good").authority(redis_url) as authority:
        await refused(authority, OTHER)
