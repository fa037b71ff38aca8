"""One whole stack for the end-to-end and fault tests: six services, realtime twice, behind Caddy."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.stack import Stack
from tests.support.people import Rest
from tests.support.servers import RunStack


@pytest.fixture(scope="session")
async def stack(run_stack: RunStack) -> AsyncIterator[Stack]:
    """Limits are raised, since all tests share one address."""
    async with run_stack(PRESENCE_RATE_LIMIT_FACTOR="100") as running:
        yield running


@pytest.fixture
async def rest(stack: Stack) -> AsyncIterator[Rest]:
    async with Rest(stack.url) as client:
        yield client
