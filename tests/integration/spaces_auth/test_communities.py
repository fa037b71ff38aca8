import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from deploy.local.hive_node import COMMUNITIES, get_community
from deploy.local.ports import free_port
from libs.common.bus.base import Caller
from libs.common.contracts import events, moderation, spaces
from libs.common.contracts.events import GetEvent, VerifyAccess
from libs.common.contracts.spaces import GetSpace, Join, ListSubrooms
from libs.common.errors import PresenceError
from libs.common.spaces import SpaceKey
from services.spaces_auth.communities.communities import FIRST_VISITS, QUESTIONS, Communities
from tests.integration.common.world import caller, identity
from tests.integration.spaces_auth.world import World, running
from tests.support.servers import Servers

REAL = SpaceKey("community", "hive-123456")
GUESSES = 10_000


class Node:
    """A Hive node that counts its questions, knows the communities of `teams`, and may be away."""

    def __init__(self) -> None:
        self.port, self.asked, self.away = free_port(), 0, False
        self.teams: dict[str, list[list[str]]] = {}

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.away:
            return web.Response(status=502)
        asked = await request.json()
        name = asked["params"]["name"]
        if name not in COMMUNITIES:
            error = {"code": -32602, "message": f"Community {name} does not exist"}
            return web.json_response({"jsonrpc": "2.0", "error": error, "id": asked["id"]})
        told = get_community(asked["params"])
        return web.json_response(
            {"jsonrpc": "2.0", "result": {**told, "team": self.teams.get(name, told["team"])}, "id": asked["id"]}
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        application = web.Application()
        application.router.add_post("/", self.answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield f"http://127.0.0.1:{self.port}"
        finally:
            await runner.cleanup()


@pytest.fixture(scope="module")
async def _running(servers: Servers) -> AsyncIterator[tuple[World, Node]]:
    node = Node()
    async with (
        node.running() as url,
        running(await servers.new_database(), servers.new_redis_database(), url, hive_timeout=2.0) as world,
    ):
        yield world, node


@pytest.fixture
async def node(_running: tuple[World, Node]) -> Node:
    node = _running[1]
    node.asked, node.away, node.teams = 0, False, {}
    return node


@pytest.fixture
async def world(_running: tuple[World, Node], node: Node) -> World:
    """A spaces_auth without a community, whose Hive node is `node`."""
    world = _running[0]
    for table in ("communities", "community_team"):
        await world.owner.sql(f"DELETE FROM {table}")
    return world


def of(world: World) -> Communities:
    return world.part(Communities)


async def refusal(call: Any) -> str:
    try:
        await call
    except PresenceError as error:
        return error.kind.code
    return "ok"


def visitor(number: int) -> Caller:
    """A guest from an address of their own."""
    return Caller(identity("guest"), "request", f"2001:db8:{number:x}::1")


async def roles(world: World, *names: str) -> list[str]:
    return [(await world.call(spaces.join, Join("community", REAL.space_id), name)).role for name in names]


async def grow_old(world: World) -> None:
    await world.owner.sql("UPDATE communities SET asked_at = asked_at - interval '2 hours'")


async def test_the_first_visit_to_a_community_asks_hive_once_however_many_come(world: World, node: Node) -> None:
    codes = await asyncio.gather(*(world.entry_code(REAL, "guest", f"203.0.113.{n}") for n in range(20)))
    assert (set(codes), node.asked) == ({"ok"}, 1)
    detail = await world.call(spaces.get_space, GetSpace("community", REAL.space_id), "guest")
    assert (detail.display_name, detail.description) == ("Virtual Reality", "Worlds to walk in.")
    assert node.asked == 1


async def test_the_team_of_a_community_owns_and_moderates_its_space(world: World) -> None:
    assert await roles(world, "alice", "bob", "carol", "dave") == ["owner", "moderator", "moderator", "visitor"]


async def test_a_moderator_whom_hive_removed_loses_the_right_and_the_epoch_rises(world: World, node: Node) -> None:
    assert await roles(world, "carol") == ["moderator"]
    before = (await world.review_entry(REAL, "carol")).epoch
    node.teams[REAL.space_id] = [["alice", "owner", ""]]
    await grow_old(world)
    await of(world).refresh()
    assert await roles(world, "carol", "alice") == ["visitor", "owner"]
    assert (await world.review_entry(REAL, "carol")).epoch > before
    trail = moderation.ListAudit("community", REAL.space_id)
    assert await refusal(world.call(moderation.list_audit, trail, "carol")) == "forbidden"


async def test_communities_are_asked_again_by_age_and_not_before(world: World, node: Node) -> None:
    await world.entry_code(REAL, "guest")
    await of(world).refresh()
    assert node.asked == 1
    await grow_old(world)
    await asyncio.gather(of(world).refresh(), of(world).refresh())
    assert node.asked == 2


async def test_with_hive_away_known_communities_go_on_and_unknown_ones_stay_closed(world: World, node: Node) -> None:
    await world.entry_code(REAL, "guest")
    node.away = True
    await grow_old(world)
    await of(world).refresh()
    assert await roles(world, "carol") == ["moderator"]
    other = Join("community", "hive-654321")
    assert await refusal(world.call(spaces.join, other, "guest")) == "unavailable"
    assert await world.owner.sql("SELECT FROM communities WHERE name = 'hive-654321'") == []


async def test_what_a_node_tells_of_another_community_is_not_believed(world: World, node: Node) -> None:
    node.teams["hive-654321"] = [["mallory"], "nonsense", [1, 2, 3], ["mallory", "emperor", ""], ["dave", "mod", ""]]  # type: ignore[list-item]
    await world.call(spaces.join, Join("community", "hive-654321"), "guest")
    rows = await world.owner.sql("SELECT account, role FROM community_team WHERE name = 'hive-654321'")
    assert [(row.account, row.role) for row in rows] == [("dave", "moderator")]


async def rows_of_all_tables(world: World) -> dict[str, int]:
    tables = await world.owner.sql("SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'log_partitions')")
    names = sorted(row.tablename for row in tables)
    counts = [await world.owner.sql(f"SELECT count(*) AS rows FROM {_quoted(name)}") for name in names]
    return {name: rows[0].rows for name, rows in zip(names, counts, strict=True)}


def _quoted(name: str) -> str:
    return f"log_partitions.{name}" if name.startswith("event_log_") else name


@pytest.fixture
async def untouched(servers: Servers, _running: tuple[World, Node], node: Node) -> AsyncIterator[World]:
    """A spaces_auth where nothing happened yet."""
    url = _running[0].settings.hive_nodes[0]
    async with running(await servers.new_database(), servers.new_redis_database(), url) as world:
        yield world


async def test_10000_guesses_of_events_and_communities_leave_no_row_and_no_key(untouched: World, node: Node) -> None:
    """From one address, and from as many addresses as guesses: the questions to Hive are bounded all the same."""
    world, guest = untouched, caller("guest")
    before = await rows_of_all_tables(world), await world.redis.redis.dbsize()
    begun = time.monotonic()

    async def guess(number: int) -> None:
        who = guest if number % 2 else visitor(number)
        kind, name = ("event", f"guess-{number}") if number % 4 < 2 else ("community", f"hive-9{number}")
        asked: Any = (
            (spaces.join, Join(kind, name)),
            (spaces.get_space, GetSpace(kind, name)),
            (spaces.list_subrooms, ListSubrooms(kind, name)),
            (events.get_event, GetEvent(name)),
            (events.verify_access, VerifyAccess(name, "password")),
        )[number % 5]
        assert await refusal(world.call(asked[0], asked[1], who)) in ("not_found", "rate_limited")
        if number % 10 == 0:
            (verdict,) = (await world.review_entry(SpaceKey("event", name), "guest")).verdicts
            assert verdict.code == "not_found"

    turns = asyncio.Semaphore(8)

    async def in_turn(number: int) -> None:
        async with turns:
            await guess(number)

    await asyncio.gather(*map(in_turn, range(GUESSES)))
    minutes = 1 + (time.monotonic() - begun) // QUESTIONS.seconds
    assert 0 < node.asked <= QUESTIONS.calls * (minutes + 1)
    assert (await rows_of_all_tables(world), await world.redis.redis.dbsize()) == before


async def test_an_address_tries_so_many_unknown_communities_a_minute_and_no_more(world: World, node: Node) -> None:
    stranger = Caller(identity("guest"), "request", "198.51.100.7")
    codes = [
        await refusal(world.call(spaces.join, Join("community", f"hive-7{n}"), stranger))
        for n in range(FIRST_VISITS.calls + 1)
    ]
    assert codes[-1] in ("rate_limited",)
    assert node.asked <= FIRST_VISITS.calls
