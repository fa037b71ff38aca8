"""A fresh world for each test; `running` makes one with other intervals."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.realtime.world import World, running


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[World]:
    async with running(redis_url) as made:
        yield made
