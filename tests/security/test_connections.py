"""The door of connections: those that never say who they are, and those that say it later, are counted too."""

import asyncio
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
TRY_AGAIN_LATER = "1013"
WAITING_SECONDS = 0.5
IMPATIENT, PATIENT = {"PRESENCE_HANDSHAKE_SECONDS": "0.1"}, {"PRESENCE_HANDSHAKE_SECONDS": "20"}
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


@pytest.mark.parametrize("replica", [{"PRESENCE_SOCKETS_PER_ACCOUNT": str(SOCKETS), **IMPATIENT}], indirect=True)
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
        with pytest.raises(ConnectionError, match=TRY_AGAIN_LATER):
            await last.next()


@pytest.mark.parametrize("replica", [{"PRESENCE_SOCKETS_PER_ACCOUNT": "1", **PATIENT}], indirect=True)
async def test_a_connection_too_many_waits_for_another_to_close(rest: Rest, replica: Replica) -> None:
    """A phone that comes back by another network finds its own old connection there, which is not known to be dead."""
    auth = f'{{"token":"{await rest.token("carol")}"}}'
    async with WebSocket(replica.url) as new:
        async with WebSocket(replica.url) as old:
            await old.connect(auth=auth)
            await new.send(f"40{auth}")
            with pytest.raises(TimeoutError):  # neither let in nor refused
                async with asyncio.timeout(WAITING_SECONDS):
                    await new.next()
        assert decoded(await new.next(), "40")["sid"]


@pytest.mark.parametrize("replica", [{"PRESENCE_SOCKETS_PER_ACCOUNT": "1", **PATIENT}], indirect=True)
async def test_a_client_that_goes_while_it_waits_for_its_place_takes_none(rest: Rest, replica: Replica) -> None:
    auth = f'{{"token":"{await rest.token("carol")}"}}'
    async with WebSocket(replica.url) as old, Polling(replica.url) as gone:
        await old.connect(auth=auth)
        waiting = asyncio.create_task(gone.send(f"40{auth}"))
        async with WebSocket(replica.url) as another, aiohttp.ClientSession() as http:
            await another.connect()  # a guest's, to see that the replica has read so far
            query = {**gone.query, "transport": "polling"}
            async with http.post(gone.url, params=query, data="1") as closed:
                await closed.read()
        await old.close()
        await asyncio.gather(waiting, return_exceptions=True)
        async with WebSocket(replica.url) as next_one:
            assert await next_one.connect(auth=auth)
