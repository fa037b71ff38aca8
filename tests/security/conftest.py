"""A replica with the limits that strangers meet, and two of them."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.stack import Stack
from tests.support.whole import Replica, one_more_replica
from tests.support.wire import WebSocket


@pytest.fixture(scope="module")
async def replica(stack: Stack) -> AsyncIterator[Replica]:
    async with one_more_replica(stack, "strict", PRESENCE_RATE_LIMIT_FACTOR="1") as running:
        yield running


@pytest.fixture
async def stranger(replica: Replica) -> AsyncIterator[WebSocket]:
    async with WebSocket(replica.url) as connected:
        await connected.connect()
        yield connected


@pytest.fixture
async def bystander(replica: Replica) -> AsyncIterator[WebSocket]:
    async with WebSocket(replica.url) as connected:
        await connected.connect()
        yield connected
