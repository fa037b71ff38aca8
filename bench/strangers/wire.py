"""A Socket.IO client over a bare WebSocket: enough to attack with, and to be attacked beside."""

import asyncio
import contextlib
import itertools
import json
import time
from types import TracebackType
from typing import Any, Self

import aiohttp

SOCKET = "/socket.io/?EIO=4&transport=websocket"
WAIT_SECONDS = 30.0


def from_address(address: str) -> aiohttp.ClientSession:
    """Returns a session whose connections come from this address of the loopback network."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0), limit=0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120))


class Socket:
    """One connection in the default namespace. `heard` are the events, `ended` is set when the server ends it."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str = "") -> None:
        self.heard: list[str] = []
        self.bytes_heard = 0
        self.ended = asyncio.Event()
        self.ended_at = 0.0  # of `time.monotonic`
        self._http, self._url, self._token = http, url, token
        self._acks: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._connected = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.web_socket = await self._http.ws_connect(self._url + SOCKET, max_msg_size=0)
        self._reading = asyncio.create_task(self._read())
        await self.send("40" + json.dumps({"token": self._token}))
        await asyncio.wait_for(self._connected.wait(), WAIT_SECONDS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.cancel()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.web_socket.close(), 2)

    @property
    def was_told(self) -> bool:
        """Returns whether the server said that this was too much."""
        return any("rate_limited" in packet or "space_full" in packet or "conflict" in packet for packet in self.heard)

    async def send(self, packet: str) -> None:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            await self.web_socket.send_str(packet)

    async def ask(self, event: str, payload: Any, seconds: float = WAIT_SECONDS) -> Any:
        """Returns the ack. Raises `TimeoutError`."""
        number = next(self._numbers)
        answer = self._acks[number] = asyncio.get_running_loop().create_future()
        await self.send(f"42{number}" + json.dumps([event, payload]))
        return await asyncio.wait_for(answer, seconds)

    async def _read(self) -> None:
        async for message in self.web_socket:
            await self._take(str(message.data))
        self.ended_at = time.monotonic()
        self.ended.set()

    async def _take(self, packet: str) -> None:
        self.bytes_heard += len(packet)
        if packet == "2":
            await self.send("3")
        elif packet.startswith("40"):
            self._connected.set()
        elif packet.startswith("43"):
            bracket = packet.index("[")
            if waiting := self._acks.pop(int(packet[2:bracket]), None):
                waiting.set_result(json.loads(packet[bracket:])[0])
            if "rate_limited" in packet or "space_full" in packet or "conflict" in packet:
                self.heard.append(packet[:200])
        elif packet.startswith("42"):
            self.heard.append(packet[:200])


def join(space_type: str, space_id: str, **more: Any) -> dict[str, Any]:
    """Returns the payload of a `join-space`."""
    return {"spaceType": space_type, "spaceId": space_id, **more}
