from collections.abc import AsyncIterator

import pytest

from tests.integration.spaces_auth.world import World, emptied, fill, running
from tests.support.servers import Servers


@pytest.fixture(scope="module")
async def _running(servers: Servers) -> AsyncIterator[World]:
    async with running(await servers.new_database(), servers.new_redis_database(), servers.hive_url) as world:
        await fill(world)
        yield world


@pytest.fixture
async def world(_running: World) -> AsyncIterator[World]:
    """A module's spaces_auth with the content of `world.py`; nobody has come yet."""
    yield _running
    await emptied(_running)
