"""Plain WebSockets come through a killed replica with the simplest client there is: it connects and enters again."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from deploy.local.stack import Stack
from tests.support.people import Rest
from tests.support.visitors import Model, agree, visitors
from tests.support.waiting import eventually
from tests.support.wire import ENDED, PATH

PAUSE = 0.1  # seconds, before it connects again


class PlainVisitor:
    """In the space for as long as it can be. It takes the `urls` in turn, then the last one for ever."""

    def __init__(self, http: aiohttp.ClientSession, name: str, token: str, space: str, urls: tuple[str, ...]) -> None:
        self.name, self.sid, self.inside = name, "", False
        self.position: dict[str, float] | None = None
        self.model: Model = {}
        self.faults: list[str] = []
        self.connections = 0
        self._http, self._query, self._space = http, f"?token={token}", space
        self._urls = itertools.chain(urls, itertools.repeat(urls[-1]))
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def live(self) -> None:
        for url in self._urls:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self._be_connected(url)
            self.inside = False
            self.model.clear()
            await asyncio.sleep(PAUSE)

    async def _be_connected(self, url: str) -> None:
        async with self._http.ws_connect(url + PATH + self._query) as socket:
            self._socket = socket
            self.connections += 1
            await socket.send_json({"type": "join-space", "spaceType": "event", "spaceId": self._space})
            while (message := await socket.receive()).type not in ENDED:
                self._told(message.json())

    async def move(self, x: float) -> None:
        assert self._socket
        self.position = {"x": x, "y": 0.0, "z": 0.0}
        await self._socket.send_json({"type": "aframe-update", "position": self.position})

    def _told(self, told: dict[str, Any]) -> None:
        sid, kind = told.get("socketId", ""), told["type"]
        if kind == "connected":
            self.sid = sid
        elif kind == "space-joined":
            self.inside, self.model = True, {user["socketId"]: user for user in told["users"]}
        elif kind == "user-joined":
            if sid in self.model:
                self.faults.append(f"{sid} announced twice")
            self.model[sid] = told
        elif kind == "user-left" and self.model.pop(sid, None) is None:
            self.faults.append(f"{sid} left and was not there")
        elif kind == "aframe-update" and sid in self.model:
            self.model[sid]["position"] = told["entityData"]["position"]


@contextlib.asynccontextmanager
async def plain_visitors(stack: Stack, rest: Rest, space: str, count: int) -> AsyncIterator[list[PlainVisitor]]:
    """Half of them on each replica; whoever connects again comes through Caddy."""
    own = [f"http://127.0.0.1:{stack.http_port(name)}" for name in ("r1", "r2")]
    tokens = [(await rest.post("/api/auth/guest", {}))["token"] for _ in range(count)]
    async with aiohttp.ClientSession() as http:
        people = [
            PlainVisitor(http, f"plain {n}", token, space, (own[n % 2], stack.url)) for n, token in enumerate(tokens)
        ]
        lives = [asyncio.create_task(person.live()) for person in people]
        try:
            await eventually(lambda: all(person.inside for person in people))
            yield people
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)


async def test_plain_clients_come_back_by_themselves_and_everybody_knows_the_room(stack: Stack, rest: Rest) -> None:
    space = "plain-killed"
    async with plain_visitors(stack, rest, space, 8) as plain, visitors(rest, space, [stack.url] * 2) as usual:
        for number, person in enumerate(plain):
            await person.move(float(number))
        await agree([*plain, *usual])
        before = [person.sid for person in plain]
        await stack.kill("r1")
        try:
            await eventually(lambda: all(person.inside and person.sid.startswith("r2-") for person in plain))
            for person in plain[::2]:
                assert person.connections > 1
                person.position = None  # it told the dead replica; a simple client does not say it again
            await agree([*plain, *usual])
            assert [person.sid for person in plain[1::2]] == before[1::2], "the others noticed nothing"
            seen = (await rest.get(f"/api/spaces/event/{space}"))["connected_users"]
            assert len(seen) == len(plain) + len(usual)
        finally:
            await stack.start_one("r1")
        async with plain_visitors(stack, rest, space, 2) as newcomers:
            await agree([*plain, *usual, *newcomers])
