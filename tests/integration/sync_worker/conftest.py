"""Worlds: a fresh replica over the demo primary, or over an empty one that the test fills."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from libs.common.cache import RedisClient
from libs.common.db.engine import Database
from tests.integration.sync_worker.world import World


@asynccontextmanager
async def _open(database_url: str, redis_url: str, primary_url: str) -> AsyncIterator[World]:
    database, redis = Database(database_url, "sync_worker"), RedisClient(redis_url)
    primary = await asyncpg.connect(primary_url)
    try:
        yield World(database, redis, primary, primary_url)
    finally:
        await primary.close()
        await redis.stop()
        await database.stop()


@pytest.fixture
async def world(database_url: str, redis_url: str, primary_url: str) -> AsyncIterator[World]:
    """Over the demo primary: both document shapes in one table."""
    async with _open(database_url, redis_url, primary_url) as opened:
        yield opened


@pytest.fixture
async def bare_world(database_url: str, redis_url: str, empty_database_url: str) -> AsyncIterator[World]:
    """Over a primary without any table."""
    async with _open(database_url, redis_url, empty_database_url) as opened:
        yield opened
