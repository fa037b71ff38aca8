"""A client that does not read costs itself its connection, and nobody else anything."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from deploy.local.stack import Stack
from tests.support.node import Node
from tests.support.waiting import eventually

PAYLOAD = "x" * 30_000
ENOUGH = 600  # events of that size: far more than the kernel's buffers and a guest's share together


@asynccontextmanager
async def deaf_client(port: int, space: str) -> AsyncIterator[asyncio.StreamWriter]:
    """A WebSocket by hand, straight to a replica: it joins a space and never reads what follows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(masked(b"40"))
    await reader.readuntil(b'{"sid"')
    join = msgspec.json.encode(["join-space", {"spaceType": "event", "spaceId": space}])
    writer.write(masked(b"42" + join))
    try:
        yield writer
    finally:
        writer.transport.abort()


def masked(payload: bytes) -> bytes:
    """A client's text frame (RFC 6455, 5.3), with a mask of zeros."""
    size = bytes((0x80 | len(payload),)) if len(payload) < 126 else bytes((0xFE,)) + len(payload).to_bytes(2, "big")
    return b"\x81" + size + b"\0\0\0\0" + payload


async def test_a_client_that_never_reads_is_dropped_and_the_others_hear_everything(stack: Stack, node: Node) -> None:
    options = {"transports": ["websocket"]}
    sender = await node.connect_to("r1", "sender", stack.url, options)
    listener = await node.connect_to("r1", "listener", stack.url, options)
    await sender.join("event", "slow")
    await listener.join("event", "slow")
    async with deaf_client(stack.http_port("r1"), "slow"):
        deaf = await listener.wait_for("user-joined", lambda user: user["socketId"] != sender.sid)
        for number in range(ENOUGH):
            assert (await sender.emit("entity-event", {"name": "flood", "data": [number, PAYLOAD]}))["ok"]
        left = await listener.wait_for("user-left")
        assert left["socketId"] == deaf["socketId"]
        await eventually(lambda: len(listener.received("entity-event")) == ENOUGH)
    assert [event["data"][0] for event in listener.received("entity-event")] == list(range(ENOUGH))
    assert listener.received("disconnect") == sender.received("disconnect") == []
