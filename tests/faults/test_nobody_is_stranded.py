"""Stock clients come back by themselves from whatever is temporary: a CONNECT_ERROR, after which they never would, is
for what will not change.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from deploy.local.guardian import Guardian
from deploy.local.stack import SERVICES, Stack
from libs.common import cache
from tests.support.crowd import crowd, settled_crowd
from tests.support.node import Node
from tests.support.people import Rest
from tests.support.waiting import eventually
from tests.support.whole import Replica, one_more_replica
from tests.support.wire import PATH, WebSocket

WEBSOCKET_ONLY = {"transports": ["websocket"]}
LONG_WAIT = 11.0  # seconds; the reference server gives an upgrade ten


async def guests(rest: Rest, count: int) -> list[str]:
    return [(await rest.post("/api/auth/guest", {}))["token"] for _ in range(count)]


@asynccontextmanager
async def without(stack: Stack, name: str) -> AsyncIterator[None]:
    """A service is away."""
    await stack.kill(name)
    try:
        yield
    finally:
        await stack.start_one(name)


async def forget_keys(stack: Stack) -> None:
    redis = Redis.from_url(stack.settings["PRESENCE_REDIS_URL"])
    assert await redis.delete(cache.JWKS) == 1
    await redis.aclose()


async def test_a_replica_that_starts_while_spaces_auth_is_away_knows_its_people(
    stack: Stack, rest: Rest, node: Node
) -> None:
    token = await rest.token("alice")
    async with without(stack, "spaces_auth"), one_more_replica(stack, "orphan") as replica:
        client = await node.connect("alice", replica.url, {"auth": {"token": token}, **WEBSOCKET_ONLY})
        assert client.received("connect_error") == []


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="-".join)
async def test_clients_wait_for_a_replica_that_nobody_gave_the_keys_to(
    stack: Stack, rest: Rest, transports: list[str]
) -> None:
    """They are turned away, never refused, and come again until the replica knows who they are."""
    tokens = await guests(rest, 3)
    url, space = f"http://127.0.0.1:{stack.http_port('r1')}", f"keyless-{'-'.join(transports)}"
    async with crowd(url, tokens, ("event", space), {"transports": transports}) as people:
        await eventually(people.are_right)
        before = await people.picture()
        await stack.kill("spaces_auth")
        await forget_keys(stack)
        await stack.kill("r1")
        starting = asyncio.create_task(stack.start_one("r1"))
        try:
            await eventually(lambda: turned_away(people, before.turned_away + len(tokens)))
            assert await waits_for(stack, "r1") == ["VerificationKeys"]
            assert not starting.done()
        finally:
            await asyncio.gather(stack.start_one("spaces_auth"), starting)
        await eventually(people.are_right)
        seen = await people.picture()
        assert (seen.refusals, seen.faults) == ([], [])


async def turned_away(people: Any, times: int) -> bool:
    return bool((await people.picture()).turned_away >= times)


async def waits_for(stack: Stack, service: str) -> Any:
    async with aiohttp.ClientSession() as http, http.get(f"{stack.ops_url(service)}/readyz") as answer:
        return (await answer.json())["waiting_for"]


async def test_a_plain_client_is_told_why_it_is_turned_away(stack: Stack, rest: Rest) -> None:
    """It has no library that would come back; whoever wrote it reads this."""
    (token,) = await guests(rest, 1)
    async with without(stack, "spaces_auth"):
        await forget_keys(stack)
        settings = {"PRESENCE_HANDSHAKE_SECONDS": "0.1", "PRESENCE_UNREADY_EXIT_SECONDS": "0"}
        async with unready_replica(stack, **settings) as url, aiohttp.ClientSession() as http:
            socket = await http.ws_connect(f"{url}{PATH}?token={token}")
            told = await socket.receive_json()
            assert (told["type"], told["code"]) == ("space-error", "unavailable")
            assert (await socket.receive()).data == aiohttp.WSCloseCode.TRY_AGAIN_LATER


async def test_a_client_that_waits_for_its_place_while_it_upgrades_hears_how_that_ends(
    stack: Stack, rest: Rest, node: Node
) -> None:
    """One whose upgrade is given up meanwhile does not poll any more, and hears nothing until it misses a ping."""
    token = await rest.token("carol")
    settings = {"PRESENCE_SOCKETS_PER_ACCOUNT": "1", "PRESENCE_RATE_LIMIT_FACTOR": "1"}
    async with (
        one_more_replica(stack, "patient", PRESENCE_HANDSHAKE_SECONDS=f"{LONG_WAIT:g}", **settings) as replica,
        WebSocket(replica.url) as old,
    ):
        await old.connect(auth=f'{{"token":"{token}"}}')
        client = await node.begin("new", replica.url, {"auth": {"token": token}})
        assert (await client.wait_for("disconnect"))["reason"] == "transport close"
        assert client.received("connect_error") == []
        await old.close()
        await client.wait_for("connect")


@asynccontextmanager
async def unready_replica(stack: Stack, **settings: str) -> AsyncIterator[str]:
    """A replica that never becomes ready in here, and serves all the same; its URL."""
    replica = Replica(stack, "unready", guardian := Guardian(), settings)
    starting = asyncio.create_task(replica.process.start())
    try:
        await eventually(lambda: serves(replica.url))
        yield replica.url
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await replica.process.kill()
        guardian.close()


async def serves(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(url + PATH) as answer:
            return answer.status == 400
    except aiohttp.ClientError:
        return False


async def test_networked_aframe_comes_back_until_its_room_can_be_joined(stack: Stack, node: Node) -> None:
    """Its adapter asks once a connection, and hears no error."""
    client = await node.connect("naf", stack.url, WEBSOCKET_ONLY)
    async with without(stack, "spaces_auth"):
        await client.send("joinRoom", {"room": "global:lobby:naf"})
        assert (await client.wait_for("disconnect"))["reason"] == "transport close"
        await client.wait_for("connect", count=2)
    await client.send("joinRoom", {"room": "global:lobby:naf"})
    await client.wait_for("connectSuccess")


async def test_who_asks_to_join_once_a_connection_comes_back_until_the_space_can_be_joined(
    stack: Stack, node: Node
) -> None:
    client = await node.connect("once", stack.url, WEBSOCKET_ONLY)
    async with without(stack, "spaces_auth"):
        refused = await client.emit("join-space", {"spaceType": "event", "spaceId": "in-vain"})
        assert refused["code"] == "unavailable"
        assert (await client.wait_for("disconnect"))["reason"] == "transport close"
        await client.wait_for("connect", count=2)
    await client.join("event", "in-vain")


async def test_everybody_is_back_after_everything_was_restarted(stack: Stack, rest: Rest) -> None:
    """All at once, and in what order they come up is left to chance."""
    async with settled_crowd(stack.url, await guests(rest, 12), ("event", "restarted")) as people:
        await asyncio.gather(*(stack.kill(name) for name in SERVICES))
        names = random.sample(list(SERVICES), len(SERVICES))
        await asyncio.gather(*(stack.start_one(name) for name in names))
        await eventually(people.are_right)
        seen = await people.picture()
        assert (seen.refusals, seen.faults) == ([], [])
        assert seen.connects >= 2 * seen.people


async def test_everybody_is_back_when_replicas_come_up_long_before_spaces_auth(stack: Stack, rest: Rest) -> None:
    async with settled_crowd(stack.url, await guests(rest, 6), ("event", "early-replicas")) as people:
        async with without(stack, "spaces_auth"):
            for name in ("r1", "r2"):
                await stack.stop_one(name)
                await stack.start_one(name)
            await eventually(lambda: connected_again(people))
        await eventually(people.are_right)
        seen = await people.picture()
        assert (seen.refusals, seen.faults) == ([], [])


async def connected_again(people: Any) -> bool:
    seen = await people.picture()
    return bool(seen.connects >= 2 * seen.people)
