"""People in one space who believe what they are told and come back by themselves: for `bench.recovery`.

Socket.IO by hand over a WebSocket, so that one process can listen to hundreds of them; they wait before they connect
again as socket.io-client does by itself (1 s, doubled up to 5 s, each half as much more or less).
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

FIRST_DELAY, LONGEST_DELAY = 1.0, 5.0  # seconds; socket.io-client's own
SILENCE_SECONDS = 60.0  # without the server's ping a client gives its connection up
QUERY = "/socket.io/?EIO=4&transport=websocket"
JOIN = "421"  # an EVENT that asks for ack 1
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass
class Person:
    """`model` is who else is there, by socket id. `faults` are what nobody must ever be told."""

    http: aiohttp.ClientSession
    name: str
    token: str
    space: tuple[str, str]
    url: str
    comes_back: bool = True
    sid: str = ""
    inside: bool = False
    model: set[str] = field(default_factory=set)
    heard: set[str] = field(default_factory=set)  # what was said in chat
    kicked_at: float | None = None
    returns: list[float] = field(default_factory=list)  # seconds from losing its socket until it was inside again
    faults: list[str] = field(default_factory=list)
    _socket: aiohttp.ClientWebSocketResponse | None = None
    _task: asyncio.Task[None] | None = None
    _lost_at: float | None = None
    _attempts: int = 0  # to connect, since the last that was good

    def begin(self) -> None:
        self._task = asyncio.create_task(self._live())

    async def end(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def say(self, content: str) -> None:
        """Without waiting for the ack: whoever heard it knows that it came through."""
        assert self._socket
        await self._socket.send_str("42" + text(["chat-message", {"content": content, "client_message_id": content}]))

    # Its life.

    async def _live(self) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                await self._be_connected()
            if self.inside:
                self._lost_at = time.monotonic()
            self.inside = False
            self.model.clear()
            if not self.comes_back:
                return
            delay = FIRST_DELAY * 2**self._attempts * random.uniform(0.5, 1.5)
            self._attempts += 1
            await asyncio.sleep(min(delay, LONGEST_DELAY))

    async def _be_connected(self) -> None:
        async with self.http.ws_connect(self.url + QUERY, max_msg_size=0, compress=0) as socket:
            self._socket = socket
            while True:
                message = await socket.receive(SILENCE_SECONDS)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                await self._take(socket, message.data)

    async def _take(self, socket: aiohttp.ClientWebSocketResponse, packet: str) -> None:
        kind = packet[:2]
        if kind == "42":
            self._told(*_decode(packet[2:]))
        elif packet == "2":
            await socket.send_str("3")
        elif packet[:1] == "0":  # the connection is open: from here on socket.io-client counts anew
            self._attempts = 0
            await socket.send_str("40" + text({"token": self.token}))
        elif kind == "40":
            self.sid = _decode(packet[2:])["sid"]
            await self._join(socket)
        elif kind == "44":  # CONNECT_ERROR
            raise ConnectionRefusedError(packet)
        elif kind == "43" and not _decode(packet[3:])[0]["ok"]:
            await asyncio.sleep(FIRST_DELAY)
            await self._join(socket)

    async def _join(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        space_type, space_id = self.space
        await socket.send_str(JOIN + text(["join-space", {"spaceType": space_type, "spaceId": space_id}]))

    # What it is told.

    def _told(self, event: str, data: Any) -> None:
        if event == "user-joined":
            if data["socketId"] in self.model:
                self.faults.append(f"{self.name}: {data['socketId']} announced twice")
            self.model.add(data["socketId"])
        elif event == "user-left":
            if data["socketId"] not in self.model:
                self.faults.append(f"{self.name}: {data['socketId']} left and was not there")
            self.model.discard(data["socketId"])
        elif event == "chat-message":
            self.heard.add(data["content"])
        elif event == "kicked":
            self.kicked_at, self.comes_back = time.monotonic(), False
        elif event == "space-joined":
            self.model = {user["socketId"] for user in data["users"]}
            self.inside = True
            if self._lost_at is not None:
                self.returns.append(time.monotonic() - self._lost_at)


def text(value: Any) -> str:
    return _encode(value).decode()


def exact(people: Iterable[Person]) -> bool:
    """Returns whether everybody is inside and sees all the others, and nobody else."""
    people = list(people)
    sids = {person.sid for person in people}
    return all(person.inside and person.model == sids - {person.sid} for person in people)
