"""What a client says right before it goes has reached the server: it is carried out, in order, before it is gone.

A page that is closed sends what it has to say and ends its connection in one breath, so the bytes travel together.
"""

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import msgspec
import pytest

from deploy.local.stack import Stack
from services.realtime.transport.flood_gate import MOST_PACKETS
from tests.support.halls import fresh
from tests.support.people import Rest
from tests.support.waiting import eventually
from tests.support.whole import one_more_replica
from tests.support.wire import ENDED, PATH, Polling, WebSocket

TEXT, CLOSE, PING = 1, 8, 9
WORDS = 5
AGAIN = 5  # times, with one word more each: a race may be won once


def masked(payload: str | bytes, opcode: int = TEXT) -> bytes:
    """One frame as a client sends it (RFC 6455, 5.2)."""
    data, mask = payload.encode() if isinstance(payload, str) else payload, os.urandom(4)
    size = bytes((0x80 | len(data),)) if len(data) < 126 else struct.pack("!BH", 0x80 | 126, len(data))
    return bytes((0x80 | opcode,)) + size + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def event(name: str, **payload: object) -> str:
    return "42" + msgspec.json.encode([name, payload]).decode()


def join(space: str) -> str:
    return '421["join-space",' + msgspec.json.encode({"spaceType": "event", "spaceId": space}).decode() + "]"


def transport_of(socket: aiohttp.ClientWebSocketResponse | None) -> asyncio.WriteTransport:
    assert socket
    connection = socket._response.connection
    assert connection
    transport = connection.transport
    assert isinstance(transport, asyncio.WriteTransport)
    return transport


GOODBYES = {
    "DISCONNECT": masked("41"),
    "DISCONNECT and CLOSE": masked("41") + masked("1"),
    "the CLOSE of Engine.IO": masked("1"),
    "a Close frame": masked(struct.pack("!H", 1001), CLOSE),
    "a ping, then a Close frame": masked(b"", PING) + masked(struct.pack("!H", 1001), CLOSE),
    "FIN": b"",
}


async def contents(rest: Rest, space: str) -> list[str]:
    page = await rest.get(f"/api/chat/event/{space}/messages?limit=100")
    return [message["content"] for message in page["messages"]]


async def all_is_kept(rest: Rest, space: str, said: list[str]) -> None:
    async def is_kept() -> bool:
        return len(await contents(rest, space)) >= len(said)

    await eventually(is_kept)
    assert await contents(rest, space) == said


@asynccontextmanager
async def watcher(stack: Stack, space: str) -> AsyncIterator[WebSocket]:
    async with WebSocket(stack.url) as client:
        await client.connect()
        assert (await client.ask(join(space), "431"))["ok"]
        yield client


async def next_event(client: WebSocket, *names: str) -> tuple[str, dict[str, object]]:
    while True:
        packet = await client.next()
        assert isinstance(packet, str)
        if packet.startswith("42"):
            name, payload = msgspec.json.decode(packet[2:])
            if name in names:
                return name, payload


@pytest.mark.parametrize("goodbye", GOODBYES)
async def test_what_came_before_the_end_of_a_web_socket_is_carried_out(stack: Stack, rest: Rest, goodbye: str) -> None:
    space = fresh()
    said = []
    async with watcher(stack, space) as other:
        for turn in range(AGAIN):
            words = [f"{turn}.{word}" for word in range(turn + 1)]
            async with WebSocket(stack.url) as client:
                await client.connect()
                assert (await client.ask(join(space), "431"))["ok"]
                transport = transport_of(client.socket)
                frames = [masked(event("chat-message", content=word)) for word in words]
                transport.write(b"".join(frames) + GOODBYES[goodbye])
                if goodbye == "FIN":
                    transport.write_eof()
                told = [await next_event(other, "chat-message", "user-left") for _ in range(turn + 2)]
            assert [payload["content"] for name, payload in told if name == "chat-message"] == words
            said += words
    await all_is_kept(rest, space, said)


async def test_what_stands_before_the_end_in_one_post_is_carried_out(stack: Stack, rest: Rest) -> None:
    space = fresh()
    for goodbye in ("41", "1"):
        async with Polling(stack.url) as session:
            await session.connect()
            await session.send(join(space))
            while not (await session.next()).startswith("431"):
                pass
            assert await session.post(event("chat-message", content=goodbye), goodbye) == 200
    await all_is_kept(rest, space, ["41", "1"])


async def test_a_plain_client_has_last_words_too(stack: Stack, rest: Rest) -> None:
    space = fresh()
    async with aiohttp.ClientSession() as http, http.ws_connect(stack.url + PATH) as socket:
        await socket.send_json({"type": "join-space", "spaceType": "event", "spaceId": space})
        while (await socket.receive_json())["type"] != "space-joined":
            pass
        words = masked(msgspec.json.encode({"type": "chat-message", "content": "farewell"}))
        transport_of(socket).write(words + GOODBYES["a Close frame"])
        await all_is_kept(rest, space, ["farewell"])


async def test_what_is_read_last_is_marked_as_read(stack: Stack, rest: Rest) -> None:
    space = fresh()
    token = await rest.token("bob")
    async with WebSocket(stack.url) as client:
        await client.connect(auth=msgspec.json.encode({"token": token}).decode())
        assert (await client.ask(join(space), "431"))["ok"]
        path = f"/api/chat/event/{space}"
        message = (await rest.post(f"{path}/messages", {"content": "read me"}, await rest.token("alice")))["message"]
        read = masked(event("chat-read", message_id=message["id"]))
        transport_of(client.socket).write(read + GOODBYES["DISCONNECT"])

        async def is_read() -> bool:
            seen = (await rest.get(f"{path}/subscription", token))["last_read_message_id"]
            return bool(seen == message["id"])

        await eventually(is_read)


async def test_a_client_of_a_replica_that_drains_is_heard_until_it_knows(stack: Stack, rest: Rest) -> None:
    """It says one thing more between the server's Close frame and its own (RFC 6455, 5.5.1)."""
    space = fresh()
    async with AsyncExitStack() as closing:
        replica = await closing.enter_async_context(one_more_replica(stack, "farewell"))
        http = await closing.enter_async_context(aiohttp.ClientSession())
        sockets = [await connected(http, replica.url, space) for _ in range(WORDS)]
        stopping = asyncio.create_task(replica.process.stop())
        await asyncio.gather(*(say_one_thing_more(socket, str(at)) for at, socket in enumerate(sockets)))
        await stopping

        async def all_is_heard() -> bool:
            return sorted(await contents(rest, space)) == [str(at) for at in range(WORDS)]

        await eventually(all_is_heard)


async def connected(http: aiohttp.ClientSession, url: str, space: str) -> aiohttp.ClientWebSocketResponse:
    """A client in a space that answers no Close by itself."""
    socket = await http.ws_connect(f"{url}{PATH}?EIO=4&transport=websocket", autoclose=False)
    await socket.send_str("40")
    await socket.send_str(join(space))
    while not (await socket.receive_str()).startswith("431"):
        pass
    return socket


async def say_one_thing_more(socket: aiohttp.ClientWebSocketResponse, word: str) -> None:
    while (message := await socket.receive()).type not in ENDED:
        pass
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
    transport_of(socket).write(masked(event("chat-message", content=word)) + GOODBYES["a Close frame"])
    await socket.close()


async def test_who_is_hasty_and_gone_is_carried_out_when_its_turn_comes(stack: Stack, rest: Rest) -> None:
    """Its last words wait in the server for the next second, and it has ended the connection by then."""
    space = fresh()
    async with (
        one_more_replica(stack, "hasty", PRESENCE_RATE_LIMIT_FACTOR="1") as replica,
        aiohttp.ClientSession() as http,
    ):
        socket = await connected(http, replica.url, space)
        transport = transport_of(socket)
        transport.write(masked(b"", PING) * (MOST_PACKETS + 1) + masked(event("chat-message", content="at last")))
        transport.write_eof()
        await all_is_kept(rest, space, ["at last"])
