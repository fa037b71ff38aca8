from collections.abc import AsyncIterator

import pytest

from tests.integration.chat.world import World, emptied, running
from tests.support.servers import Servers


@pytest.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    """A chat of the test's own, for tests that change people, posts or settings."""
    async with running(database_url, redis_url) as world:
        yield world


@pytest.fixture(scope="module")
async def _running(servers: Servers) -> AsyncIterator[World]:
    async with running(await servers.new_database(), servers.new_redis_database()) as world:
        yield world


@pytest.fixture
async def module_world(_running: World) -> AsyncIterator[World]:
    """A chat that the tests of a module share, each with no messages in it: much faster."""
    yield _running
    await emptied(_running)
