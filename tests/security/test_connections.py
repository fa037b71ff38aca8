"""The door of connections: those that never say who they are, and those that say it later, are counted too."""

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from deploy.local.stack import Stack
from tests.support.people import Rest
from tests.support.waiting import eventually
from tests.support.whole import Replica, one_more_replica
from tests.support.wire import PATH, Polling, WebSocket, decoded

HANDSHAKES, SOCKETS = 5, 3
HANDSHAKE = {"EIO": "4", "transport": "polling"}


@pytest.fixture
async def replica(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Replica]:
    """A test's own replica, with the limit that its parameter names."""
    async with one_more_replica(stack, "counting", PRESENCE_RATE_LIMIT_FACTOR="1", **request.param) as running:
        yield running


async def handshake(replica: Replica, **headers: str) -> int:
    """The status of one that is left alone afterwards."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(replica.url + PATH, params=HANDSHAKE, headers=headers) as answer,
    ):
        await answer.read()
        return answer.status


@pytest.mark.parametrize("replica", [{"PRESENCE_HANDSHAKES_PER_ADDRESS": str(HANDSHAKES)}], indirect=True)
async def test_connections_without_a_connect_are_counted_by_address_and_free_their_place_when_they_connect_or_go(
    replica: Replica,
) -> None:
    async with contextlib.AsyncExitStack() as sessions:
        open_sessions = [await sessions.enter_async_context(Polling(replica.url)) for _ in range(HANDSHAKES)]
        assert await handshake(replica) == 401
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await sessions.enter_async_context(WebSocket(replica.url))
        assert refused.value.status == 401
        await open_sessions[0].connect()
        async with Polling(replica.url):
            assert await handshake(replica) == 401
        await open_sessions[1].send("1")  # CLOSE

        async def is_free() -> bool:
            return await handshake(replica) == 200

        await eventually(is_free)


@pytest.mark.parametrize("replica", [{"PRESENCE_SOCKETS_PER_ACCOUNT": str(SOCKETS)}], indirect=True)
async def test_a_token_shown_at_join_space_counts_the_socket_as_its_accounts(
    stack: Stack, rest: Rest, replica: Replica
) -> None:
    token = await rest.token("carol")
    async with contextlib.AsyncExitStack() as sockets:
        codes = []
        for _ in range(SOCKETS + 1):
            socket = await sockets.enter_async_context(WebSocket(replica.url))
            await socket.connect()
            packet = f'427["join-space",{{"spaceType":"global","spaceId":"lobby","token":"{token}"}}]'
            codes.append((await socket.ask(packet, "437")).get("code"))
        assert codes == [None] * SOCKETS + ["rate_limited"]
        last = await sockets.enter_async_context(WebSocket(replica.url))
        await last.send(f'40{{"token":"{token}"}}')
        assert decoded(await last.next(), "44")["data"]["code"] == "rate_limited"
