"""The door of what is too large: bodies and headers, through Caddy, on real servers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from yarl import URL

from deploy.local.stack import Stack
from tests.support.waiting import eventually
from tests.support.whole import one_more_gateway, one_more_replica

MESSAGES = "/api/chat/global/lobby/messages"
MARK = "SECRET-IN-A-HEADER"


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 50_000):
        yield b"x" * 50_000


@pytest.mark.parametrize("size", [100_000, 1_500_000, 5_000_000])
@pytest.mark.parametrize("body", [lambda size: b"x" * size, chunks], ids=["whole", "chunked"])
async def test_a_body_of_any_size_is_refused_as_the_contract_says_for_pages_to_read(
    stack: Stack, size: int, body: Callable[[int], Any]
) -> None:
    async with (
        aiohttp.ClientSession(stack.url, headers={"Origin": stack.url}) as http,
        http.post(MESSAGES, data=body(size)) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (413, "too_large")
        assert answer.headers["Access-Control-Allow-Origin"] == stack.url


async def test_a_header_that_is_too_long_is_logged_without_its_words(stack: Stack) -> None:
    async with one_more_gateway(stack, "long-headers") as gateway, one_more_replica(stack, "long") as replica:
        for url, name, path in ((gateway, "long-headers", "/api/auth/me"), (replica.url, "long", "/socket.io/")):
            before = stack.place.log_file(name).read_text()
            assert b" 400 " in await answer_to_long_header(url, path)

            async def is_logged(name: str = name, before: str = before) -> bool:
                return "LineTooLong" in stack.place.log_file(name).read_text()[len(before) :]

            await eventually(is_logged)
            assert MARK not in stack.place.log_file(name).read_text()


async def answer_to_long_header(url: str, path: str) -> bytes:
    parts = URL(url)
    reader, writer = await asyncio.open_connection(parts.host, parts.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {MARK * 1000}\r\n\r\n".encode())
    await writer.drain()
    line = await reader.readline()
    writer.close()
    return line
