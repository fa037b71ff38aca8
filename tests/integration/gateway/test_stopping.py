"""A gateway that stops finishes what it was asked, and takes nothing new."""

import asyncio
from typing import Any

import aiohttp
import pytest

from libs.common.bus.base import Caller
from libs.common.contracts import auth
from libs.common.contracts.auth import Empty, Me
from tests.integration.gateway.conftest import Run
from tests.support.waiting import eventually


async def test_a_request_under_way_is_answered_and_a_new_one_is_not_taken(redis_url: str, run: Run) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Caller, __: Empty) -> Me:
        begun.set()
        await go_on.wait()
        return Me("guest", None, None, "x", False)

    running = run(redis_url)
    world = await running.__aenter__()
    world.bus.serve(auth.me, slow)
    under_way = asyncio.create_task(world.ask("GET", "/api/auth/me"))
    await begun.wait()

    async def stop() -> Any:
        return await running.__aexit__(None, None, None)

    stopping = asyncio.create_task(stop())

    async def takes_nothing_new() -> bool:
        async with aiohttp.ClientSession() as http:
            try:
                async with http.get(world.url + "/health"):
                    return False
            except aiohttp.ClientConnectionError:
                return True

    await eventually(takes_nothing_new)
    assert not under_way.done()
    go_on.set()
    assert (await under_way).status == 200
    await asyncio.wait_for(stopping, 10)


async def test_a_port_that_is_taken_ends_in_an_error(redis_url: str, run: Run) -> None:
    async with run(redis_url) as world:
        with pytest.raises(OSError, match="address already in use"):
            async with run(redis_url, http_port=world.settings.http_port):
                pass
