"""The Hive client asks the next node whenever one is bad, and never longer than its deadline."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.hive import COOL_DOWN, LARGEST_ANSWER, HiveClient, HiveError
from tests.integration.sync_worker.world import DEAD

ENDING = web.RequestKey("ending", asyncio.Event)
type Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Node:
    """A node on a free port that answers as it is told, and counts."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked, self.url = answer, 0, ""
        self.ending = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        request[ENDING] = self.ending
        return await self.answer(request)


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[list[Node]]:
    nodes = [Node(answer) for answer in answers]
    runners = [await _serve(node) for node in nodes]
    try:
        yield nodes
    finally:
        for node, runner in zip(nodes, runners, strict=True):
            node.ending.set()
            await runner.cleanup()


async def _serve(node: Node) -> web.AppRunner:
    app = web.Application()
    app.router.add_post("/", node.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner


@asynccontextmanager
async def asking(
    nodes: list[Node] | list[str], timeout: float = 2.0, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[HiveClient]:
    client = HiveClient([node.url if isinstance(node, Node) else node for node in nodes], timeout, clock)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def good(request: web.Request) -> web.StreamResponse:
    question = await request.json()
    return web.json_response(
        {"jsonrpc": "2.0", "id": question["id"], "result": [question["method"], question["params"]]}
    )


async def hanging(request: web.Request) -> web.StreamResponse:
    await request[ENDING].wait()
    return web.Response()


async def failing(_: web.Request) -> web.StreamResponse:
    raise web.HTTPInternalServerError(text="down for maintenance")


async def redirecting(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("http://127.0.0.1:9/")


async def babbling(_: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>502</html>")


async def listing(_: web.Request) -> web.StreamResponse:
    return web.json_response([1, 2])


async def mistaken(_: web.Request) -> web.StreamResponse:
    return web.json_response({"jsonrpc": "2.0", "id": "another", "result": "not yours"})


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(LARGEST_ANSWER // 65536 + 2):
        await response.write(b" " * 65536)
    return response


def refusing(code: object) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        question = await request.json()
        error = {"code": code, "message": "no such thing"}
        return web.json_response({"jsonrpc": "2.0", "id": question["id"], "error": error})

    return answer


async def test_the_first_node_answers() -> None:
    async with serving(good, good) as nodes, asking(nodes) as hive:
        assert await hive.call("bridge.get_post", {"author": "alice"}) == ["bridge.get_post", {"author": "alice"}]
        assert [node.asked for node in nodes] == [1, 0]


@pytest.mark.parametrize(
    "bad",
    [
        hanging,
        failing,
        redirecting,
        babbling,
        listing,
        mistaken,
        endless,
        refusing(-32603),
        refusing(-32601),
        refusing(None),
    ],
)
async def test_a_bad_node_is_passed_over(bad: Answer) -> None:
    async with serving(bad, good) as nodes, asking(nodes, timeout=1.0) as hive:
        assert await hive.call("x.y", [1]) == ["x.y", [1]]
        assert [node.asked for node in nodes] == [1, 1]


async def test_a_node_that_is_down_is_passed_over() -> None:
    async with serving(good) as nodes, asking([f"http://{DEAD}", nodes[0].url]) as hive:
        assert await hive.call("x.y", []) == ["x.y", []]


async def test_a_bad_node_cools_down_and_is_asked_first_again_afterwards() -> None:
    now = 0.0
    async with serving(failing, good) as nodes, asking(nodes, clock=lambda: now) as hive:
        await hive.call("x.y", [])
        await hive.call("x.y", [])
        assert [node.asked for node in nodes] == [1, 2]

        nodes[0].answer = good
        now += COOL_DOWN
        await hive.call("x.y", [])
        assert [node.asked for node in nodes] == [2, 2]


async def test_cooling_nodes_are_asked_when_there_is_no_other() -> None:
    async with serving(failing) as nodes, asking(nodes) as hive:
        with pytest.raises(PresenceError):
            await hive.call("x.y", [])
        nodes[0].answer = good
        assert await hive.call("x.y", []) == ["x.y", []]


async def test_nodes_that_all_hang_are_unavailable_at_the_deadline() -> None:
    async with serving(hanging, hanging) as nodes, asking(nodes, timeout=0.4) as hive:
        with pytest.raises(PresenceError) as failure:  # both would hang for ever
            await hive.call("x.y", [])
        assert failure.value.kind is UNAVAILABLE
        assert [node.asked for node in nodes] == [1, 1]


async def test_an_error_about_the_question_is_an_answer() -> None:
    async with serving(refusing(-32602), good) as nodes, asking(nodes) as hive:
        with pytest.raises(HiveError, match="no such thing") as failure:
            await hive.call("x.y", [])
        assert failure.value.code == -32602
        assert [node.asked for node in nodes] == [1, 0]


async def test_a_client_without_nodes_is_unavailable() -> None:
    async with asking([]) as hive:
        with pytest.raises(PresenceError):
            await hive.call("x.y", [])
