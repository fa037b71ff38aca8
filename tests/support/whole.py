"""One whole stack for the end-to-end and fault tests: six services, realtime twice, behind Caddy."""

from collections.abc import AsyncIterator

import asyncpg
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


async def leave_reason(stack: Stack, socket_id: str) -> str | None:
    """Why the socket's session in the database ended; None while it has not."""
    connection = await asyncpg.connect(stack.settings["PRESENCE_DATABASE_URL"])
    try:
        query = "SELECT leave_reason FROM presence_sessions WHERE socket_id = $1 AND left_at IS NOT NULL"
        reason: str | None = await connection.fetchval(query, socket_id)
        return reason
    finally:
        await connection.close()
