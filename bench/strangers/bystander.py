"""`python -m strangers.bystander KIND URL ADDRESS`: somebody who only wants an answer, in a process of their own.

Asks again and again until standard input ends, then prints a JSON list: milliseconds of each answer, null for none.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp

from .wire import Socket, from_address, join

PAUSE_SECONDS = {"time": 0.02, "join": 0.2, "post": 0.2}
PATIENCE_SECONDS = 10.0

type Ask = Callable[[], Awaitable[None]]


async def time_of_day(http: aiohttp.ClientSession, url: str) -> Ask:
    """The server's clock, on a socket that is in a space of its own."""
    socket = await Socket(http, url).__aenter__()
    await socket.ask("join-space", join("event", "bystander"))

    async def ask() -> None:
        await socket.ask("time", {}, PATIENCE_SECONDS)

    return ask


async def rest(http: aiohttp.ClientSession, url: str, path: str, body: dict[str, str]) -> Ask:
    """A POST as a guest with a token."""
    async with http.post(f"{url}/api/auth/guest", json={}) as answer:
        token = (await answer.json())["token"]
    headers = {"Authorization": f"Bearer {token}"}
    numbers = itertools.count(1)

    async def ask() -> None:
        said = {name: f"{text} {next(numbers)}" for name, text in body.items()}  # the same ten times is a flood
        async with http.post(url + path, json=said, headers=headers) as answer:
            answer.raise_for_status()

    return ask


async def main(kind: str, url: str, address: str) -> None:
    milliseconds: list[float | None] = []
    async with from_address(address) as http:
        if kind == "time":
            ask = await time_of_day(http, url)
        elif kind == "join":
            ask = await rest(http, url, "/api/spaces/global/lobby/join", {})
        else:
            ask = await rest(http, url, "/api/chat/event/bystander/messages", {"content": "hello"})
        await ask()
        print("ready", flush=True)
        over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        while not over.done():
            began = time.perf_counter()
            try:
                await asyncio.wait_for(ask(), PATIENCE_SECONDS)
                milliseconds.append((time.perf_counter() - began) * 1000)
            except (TimeoutError, aiohttp.ClientError):
                milliseconds.append(None)
            await asyncio.sleep(PAUSE_SECONDS[kind])
    print(json.dumps(milliseconds), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
