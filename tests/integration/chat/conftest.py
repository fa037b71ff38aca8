from collections.abc import AsyncIterator

import pytest

from tests.integration.chat.world import World, running


@pytest.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    async with running(database_url, redis_url) as world:
        yield world
