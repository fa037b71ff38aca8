"""Hostile clients: each is told why and dropped, or its packet is refused.

The others hear everything meanwhile, and the server's memory does not grow.
"""

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import pytest

from deploy.local.stack import Stack
from tests.support.node import Client, Node
from tests.support.waiting import eventually
from tests.support.whole import Replica, one_more_replica
from tests.support.wire import WebSocket, decoded

SPACE = "hostile"
PAYLOAD = "x" * 30_000
ENOUGH = 250  # events of that size: far more than the kernel's buffers and a guest's share together
A_SECOND = 75  # of them: 2.2 MB, of 2.6 that the replica lets one socket relay
MOST_GROWTH = 5_000_000  # bytes
FLOOD = 8_000  # signals, of a socket that may send 2,000 a second
JOIN = f'42["join-space",{{"spaceType":"event","spaceId":"{SPACE}"}}]'

PLAIN_JOIN = f'{{"type":"join-space","spaceType":"event","spaceId":"{SPACE}"}}'

type Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Arena:
    """A replica of the test's own, and two clients in a space of it."""

    replica: Replica
    sender: Client
    listener: Client

    async def pour(self) -> None:
        """Events from the sender to everyone else, each acknowledged.

        Who makes another leave too much unread is refused for a moment, and says it again.
        """
        began = asyncio.get_running_loop().time()
        for number in range(ENOUGH):
            await asyncio.sleep(max(began + number / A_SECOND - asyncio.get_running_loop().time(), 0))
            await eventually(partial(self._say, number))

    async def _say(self, number: int) -> bool:
        answer = await self.sender.emit("entity-event", {"name": "flood", "data": [number, PAYLOAD]})
        assert answer.get("code") in (None, "rate_limited")
        return bool(answer["ok"])

    def heard(self) -> list[int]:
        return [event["data"][0] for event in self.listener.received("entity-event")]


@pytest.fixture(scope="module")
async def warm_arena(stack: Stack) -> AsyncIterator[Arena]:
    """It has carried once what the tests make it carry, so that its memory has taken its size."""
    node = Node()
    await node.start()
    async with one_more_replica(stack, "arena", PRESENCE_RATE_LIMIT_FACTOR="20") as replica:
        options = {"transports": ["websocket"], "reconnection": False}
        sender, listener = [await node.connect(name, replica.url, options) for name in ("sender", "listener")]
        for client in (sender, listener):
            await client.join("event", SPACE)
        arena = Arena(replica, sender, listener)
        await arena.pour()
        await eventually(lambda: len(arena.heard()) == ENOUGH)
        yield arena
    await node.stop()


@pytest.fixture
def arena(warm_arena: Arena) -> Iterator[Arena]:
    listener, sender = warm_arena.listener, warm_arena.sender
    listener.events.clear()
    yield warm_arena
    assert listener.received("disconnect") == sender.received("disconnect") == []


# Clients that do not read.


async def nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Never reads, never writes."""


async def a_byte_a_second(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(1):  # noqa: ASYNC110 - that is how slow it is
        await asyncio.sleep(1)


async def pongs_only(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Looks alive to a heartbeat."""
    while True:
        writer.write(masked(b"3"))
        await writer.drain()
        await asyncio.sleep(0.1)


@asynccontextmanager
async def deaf_client(port: int, behaviour: Behaviour, *, plain: bool = False) -> AsyncIterator[asyncio.StreamReader]:
    """A WebSocket by hand, with Socket.IO or plain: it joins the space, and behaves from there on."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=4096)
    key = base64.b64encode(os.urandom(16)).decode()
    query = "" if plain else "?EIO=4&transport=websocket"
    writer.write(
        f"GET /socket.io/{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    if plain:
        await reader.readuntil(b'"connected"')
        writer.write(masked(PLAIN_JOIN.encode()))
    else:
        writer.write(masked(b"40"))
        await reader.readuntil(b'{"sid"')
        writer.write(masked(JOIN.encode()))
    behaving = asyncio.ensure_future(behaviour(reader, writer))
    try:
        yield reader
    finally:
        behaving.cancel()
        await asyncio.gather(behaving, return_exceptions=True)
        writer.transport.abort()


def masked(payload: bytes) -> bytes:
    """A client's text frame (RFC 6455, 5.3), with a mask of zeros."""
    size = bytes((0x80 | len(payload),)) if len(payload) < 126 else bytes((0xFE,)) + len(payload).to_bytes(2, "big")
    return b"\x81" + size + b"\0\0\0\0" + payload


async def everything(reader: asyncio.StreamReader) -> bytes:
    """What it would have read, to the end of the connection."""
    found = b""
    try:
        while part := await reader.read(65_536):
            found = found[-1000:] + part
    except ConnectionError:  # reset after the server's last words
        pass
    return found


@pytest.mark.parametrize(
    ("behaviour", "plain"), [(nothing, False), (a_byte_a_second, False), (pongs_only, False), (nothing, True)]
)
async def test_a_client_that_does_not_read_is_dropped_and_the_others_hear_everything(
    arena: Arena, behaviour: Behaviour, plain: bool
) -> None:
    async with deaf_client(arena.replica.port, behaviour, plain=plain):
        deaf = await arena.listener.wait_for("user-joined")
        before = arena.replica.memory
        await arena.pour()
        left = await arena.listener.wait_for("user-left")
        assert left["socketId"] == deaf["socketId"]
        await eventually(lambda: len(arena.heard()) == ENOUGH)
        assert arena.replica.memory - before < MOST_GROWTH
    assert arena.heard() == list(range(ENOUGH))


async def test_a_client_that_reads_again_in_time_finds_why_it_was_dropped(arena: Arena) -> None:
    async with deaf_client(arena.replica.port, nothing) as reader:
        await arena.listener.wait_for("user-joined")
        pouring = asyncio.ensure_future(arena.pour())
        await arena.listener.wait_for("user-left")
        assert b'"code":"too_slow"' in await everything(reader)
        await pouring
    await eventually(lambda: len(arena.heard()) == ENOUGH)


# Clients that send what they should not.


@pytest.fixture
async def bad(arena: Arena) -> AsyncIterator[WebSocket]:
    """A client in the space, about to misbehave."""
    async with WebSocket(arena.replica.url) as client:
        sid = await client.connect()
        ack = await client.ask(JOIN.replace("42", "420"), "430")
        assert ack["ok"]
        yield client
    await arena.listener.wait_for("user-left", lambda left: left["socketId"] == sid)


def event(payload: str) -> str:
    return f'427["entity-event",{{"name":"bad","data":{payload}}}]'


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (event('"' + "x" * (65_536 - len(event('""')) + 2) + '"'), "too_large"),
        (event("NaN"), "invalid_input"),
        (event("Infinity"), "invalid_input"),
        ('427["aframe-update",{"position":{"x":1e308,"y":0,"z":0}}]', "invalid_input"),
        ('427["aframe-update",{"position":{"x":1e309,"y":0,"z":0}}]', "invalid_input"),
        (f'427["aframe-update",{{"position":{{"x":{"9" * 400},"y":0,"z":0}}}}]', "invalid_input"),
        ("427" + "[" * 60_000, "invalid_input"),
        (event("[" * 30_000 + "]" * 30_000), "invalid_input"),
        (event('{"a":' * 10_000 + "1" + "}" * 10_000), "invalid_input"),
    ],
    ids=["64 KiB + 1", "NaN", "Infinity", "1e308", "1e309", "400 digits", "open lists", "deep lists", "deep objects"],
)
async def test_a_packet_that_cannot_be_read_is_refused_each_time_and_reaches_nobody(
    arena: Arena, bad: WebSocket, packet: str, code: str
) -> None:
    before = arena.replica.memory
    for _ in range(100):
        answer: Any = await bad.ask(packet, "437")
        assert (answer["ok"], answer["code"]) == (False, code)
    assert (await bad.ask('428["time"]', "438"))["ok"], "it stays"
    assert arena.replica.memory - before < MOST_GROWTH
    assert (await arena.sender.emit("entity-event", {"name": "still here", "data": [0]}))["ok"]
    await arena.listener.wait_for("entity-event")
    assert arena.heard() == [0]


async def test_a_flood_is_told_that_it_is_one_and_the_others_hear_everything(arena: Arena, bad: WebSocket) -> None:
    await flood(bad)
    before = arena.replica.memory
    pouring = asyncio.ensure_future(arena.pour())
    assert await flood(bad) == {None, "rate_limited"}
    await pouring
    await eventually(lambda: len(arena.heard()) == ENOUGH)
    assert arena.heard() == list(range(ENOUGH))
    assert arena.replica.memory - before < MOST_GROWTH


async def flood(client: WebSocket) -> set[str | None]:
    """More than it may send, at once; the error codes of the answers. Afterwards it may send again."""
    answers = asyncio.ensure_future(acks(client, FLOOD))
    for _ in range(FLOOD):
        await client.send('427["aframe-update",{"position":{"x":1,"y":0,"z":0}}]')
    codes = {answer.get("code") for answer in await answers}

    async def may_again() -> bool:
        return bool((await client.ask('428["time"]', "438"))["ok"])

    await eventually(may_again)
    return codes


async def acks(client: WebSocket, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        packet = await client.next()
        if isinstance(packet, str) and packet.startswith("437"):
            found += decoded(packet, "437")
    return found


def test_a_packet_of_the_test_is_one_byte_too_long() -> None:
    packet = event('"' + "x" * (65_536 - len(event('""')) + 2) + '"')
    assert len(msgspec.json.decode(packet[3:])[1]["data"]) > 65_000
    assert len(packet) - 1 == 65_537, "the message without its Engine.IO type"
