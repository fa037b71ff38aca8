"""The posting authority: cached for a minute, never stale against its owner."""

import asyncio
import contextlib
import itertools
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
from services.spaces_auth.login.hive_authority import MOST_ACCOUNTS, HiveAuthority
from tests.support.refusals import refusal

DEPTH = 2
OLD, NEW, OTHER = public_key("alice", "posting"), public_key("bob", "posting"), public_key("carol", "posting")


class Node:
    """A Hive node whose accounts' posting authorities a test can change. `asked` counts questions."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Any = None  # instead of the accounts
        self.accounts: dict[str, Any] = {}
        self.posting(threshold=1, keys={OLD: 1})
        self.down = False

    def posting(
        self, threshold: int, keys: dict[str, int], accounts: dict[str, int] | None = None, name: str = "alice"
    ) -> None:
        """Changes an account, by default alice."""
        named = [*(accounts or {}).items()]
        authority = {"weight_threshold": threshold, "account_auths": named, "key_auths": [*keys.items()]}
        self.accounts[name] = {"name": name, "posting": authority, "memo_key": OTHER}

    def chain(self, *names: str, end: dict[str, int]) -> None:
        """Has alice's authority be the first account, that account's the next, and the last one's the keys of `end`."""
        for name, following in itertools.pairwise(("alice", *names)):
            self.posting(1, {}, {following: 1}, name)
        self.posting(1, end, name=names[-1])

    async def handle(self, request: web.Request) -> web.Response:
        if self.down:
            raise web.HTTPBadGateway
        self.asked += 1
        question = msgspec.json.decode(await request.read())
        assert question["method"] == "condenser_api.get_accounts"
        (names,) = question["params"]
        answer = self.answer or {"result": [self.accounts[name] for name in names if name in self.accounts]}
        return web.json_response({"jsonrpc": "2.0", "id": question["id"], **answer})


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
        yield HiveAuthority(hive, redis.redis, DEPTH)
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


async def test_an_account_of_the_authority_logs_in_with_its_posting_key(authority: HiveAuthority, node: Node) -> None:
    node.posting(1, {}, {"bob": 1})
    node.posting(1, {NEW: 1}, name="bob")
    await authority.require_posting_keys("alice", {NEW})
    await refused(authority, OLD)
    await refused(authority, OTHER)


async def test_the_weights_of_keys_and_accounts_add_up(authority: HiveAuthority, node: Node) -> None:
    node.posting(3, {OLD: 1}, {"bob": 1, "carol": 1, "nobody": 5})
    node.posting(1, {NEW: 1}, name="bob")
    node.posting(2, {OTHER: 1, NEW: 1}, name="carol")
    await authority.require_posting_keys("alice", {OLD, NEW, OTHER})
    for too_few in ({OLD, NEW}, {NEW, OTHER}, {OLD, OTHER}):
        with pytest.raises(PresenceError):
            await authority.require_posting_keys("alice", too_few)


@pytest.mark.parametrize(("between", "outcome"), [(1, "ok"), (2, "ok"), (3, "unauthorized"), (4, "unauthorized")])
async def test_accounts_are_followed_to_the_depth_of_hive_and_no_further(
    authority: HiveAuthority, node: Node, between: int, outcome: str
) -> None:
    node.chain(*(f"account-{number}" for number in range(between)), end={NEW: 1})
    assert await refusal(authority.require_posting_keys("alice", {NEW})) == outcome
    assert node.asked <= DEPTH + 1, "one question a level"


async def test_accounts_that_name_each_other_are_no_endless_way(authority: HiveAuthority, node: Node) -> None:
    node.posting(1, {}, {"alice": 1, "bob": 1})
    node.posting(1, {}, {"alice": 1, "bob": 1}, name="bob")
    await refused(authority, NEW)
    assert node.asked == 2
    node.posting(2, {NEW: 1}, {"alice": 1}, name="bob")
    await refused(authority, NEW)


async def test_a_stranger_has_a_bounded_number_of_accounts_looked_up(authority: HiveAuthority, node: Node) -> None:
    """However many the accounts of an authority name in their turn."""
    crowd = {f"account-{number}": 1 for number in range(40)}
    node.posting(1, {}, crowd)
    for name in crowd:
        node.posting(1, {}, {f"{name}-{number}": 1 for number in range(40)}, name=name)
    asked_for: list[str] = []
    fetch = authority._fetch

    async def noted(accounts: list[str]) -> Any:
        asked_for.extend(accounts)
        return await fetch(accounts)

    authority._fetch = noted  # type: ignore[method-assign]
    await refused(authority, NEW)
    assert len(asked_for) == len(set(asked_for)) == MOST_ACCOUNTS
    assert node.asked == DEPTH + 1


async def test_an_account_whose_key_was_changed_opens_no_other_by_the_old_one(
    authority: HiveAuthority, node: Node
) -> None:
    node.chain("bob", end={NEW: 1})
    await authority.require_posting_keys("alice", {NEW})
    asked = node.asked
    await authority.require_posting_keys("alice", {NEW})
    assert node.asked == asked
    node.posting(1, {OTHER: 1}, name="bob")
    await authority.require_posting_keys("alice", {OTHER})
    await refused(authority, NEW)


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
            yield HiveAuthority(hive, redis.redis, DEPTH)
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
