"""Requests at once are bounded by address and in all: who is one too many is told so at once, and the others go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from services.gateway import body
from tests.integration.gateway.conftest import Run
from tests.integration.gateway.world import World, is_error
from tests.support.waiting import eventually

BODY = b'{"account": "alice"}'


@asynccontextmanager
async def a_slow_request(world: World, address: str) -> AsyncIterator[asyncio.StreamWriter]:
    """A request of an address whose body is still to come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.settings.http_port)
    head = "POST /api/auth/challenge HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nConnection: close\r\n"
    writer.write(f"{head}X-Forwarded-For: {address}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode())
    await writer.drain()
    try:
        yield writer
    finally:
        writer.write(BODY)
        await reader.read()
        writer.close()


async def answered(world: World, address: str) -> int:
    return (await world.ask("GET", "/api/spaces", headers={"X-Forwarded-For": address})).status


async def is_answered(world: World, address: str, status: int) -> None:
    """Waits until it is: the gateway has not read yet what was sent before, or has not done with it."""

    async def is_so() -> bool:
        return await answered(world, address) == status

    await eventually(is_so)


async def test_one_address_has_so_many_requests_at_once_and_others_are_answered(redis_url: str, run: Run) -> None:
    async with run(redis_url, requests=8, requests_each=2) as world:
        async with a_slow_request(world, "192.0.2.1"), a_slow_request(world, "192.0.2.1"):
            await is_answered(world, "192.0.2.1", 429)
            refused = await world.ask("GET", "/api/spaces", headers={"X-Forwarded-For": "192.0.2.1"})
            assert is_error(refused, 429, "rate_limited")
            assert refused.headers["Retry-After"] == "1"
            assert await answered(world, "192.0.2.2") == 200
        await is_answered(world, "192.0.2.1", 200)


async def test_a_gateway_that_is_full_says_so_at_once_and_when_to_come_again(redis_url: str, run: Run) -> None:
    async with run(redis_url, requests=4, requests_each=2) as world:
        async with AsyncExitStack() as slow:
            for number in range(4):
                await slow.enter_async_context(a_slow_request(world, f"192.0.2.{1 + number // 2}"))
            await is_answered(world, "192.0.2.3", 503)
            refused = await world.ask("GET", "/api/spaces", headers={"X-Forwarded-For": "192.0.2.3"})
            assert is_error(refused, 503, "unavailable")
            assert refused.headers["Retry-After"] == "1"
            assert (await world.ask("GET", "/health", headers={"X-Forwarded-For": "192.0.2.3"})).status == 200
        await is_answered(world, "192.0.2.3", 200)


async def test_a_body_that_does_not_come_is_not_waited_for(
    redis_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_SECONDS", 0.1)
    async with run(redis_url, requests=1) as world, a_slow_request(world, "192.0.2.1"):
        await is_answered(world, "192.0.2.2", 200)


async def test_where_limits_are_off_an_address_may_have_all_but_no_more(redis_url: str, run: Run) -> None:
    async with run(redis_url, requests=3, requests_each=1, rate_limit_factor=0) as world, AsyncExitStack() as slow:
        for _ in range(2):
            await slow.enter_async_context(a_slow_request(world, "192.0.2.1"))
        assert await answered(world, "192.0.2.1") == 200
        await slow.enter_async_context(a_slow_request(world, "192.0.2.1"))
        await is_answered(world, "192.0.2.1", 503)
