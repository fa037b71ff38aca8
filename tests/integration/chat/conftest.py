from collections.abc import AsyncIterator

import pytest

from tests.integration.chat.world import World, emptied, running
from tests.support.servers import Servers


@pytest.fixture(scope="module")
async def _running(servers: Servers) -> AsyncIterator[World]:
    async with running(await servers.new_database()) as world:
        yield world


@pytest.fixture
async def world(_running: World) -> AsyncIterator[World]:
    """A module's chat, in which nothing has been said yet."""
    yield _running
    await emptied(_running)
