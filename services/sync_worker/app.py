"""Wiring of the sync worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.cache import RedisClient
from libs.common.contracts import content
from libs.common.db.engine import Database
from libs.common.hive import HiveClient
from libs.common.service import Component, Service
from services.sync_worker.handlers import SyncHandlers
from services.sync_worker.primary.reading import Source
from services.sync_worker.replication.cycle import Cycle
from services.sync_worker.replication.schedule import Schedule
from services.sync_worker.settings import Settings
from services.sync_worker.titles.titles import Titles

LEAST_CONNECTIONS = 5  # a cycle and the titles hold one each for their lock while they work with another


def build(settings: Settings, bus: Bus | None = None) -> Service:
    """The service; `bus` replaces RabbitMQ in tests."""
    bus = bus or RabbitBus(settings.amqp_url, "sync_worker")
    database, redis = _stores(settings)
    hive = HiveClient(settings.hive_nodes, settings.hive_timeout)
    titles = Titles(database, hive, settings.titles_per_cycle)
    schedule = Schedule(_cycle(settings, database, redis), titles.fill_soon)
    handlers = SyncHandlers(schedule, database, settings.interval)

    bus.serve(content.sync_status, handlers.sync_status)
    bus.serve(content.sync_now, handlers.sync_now)

    return Service("sync_worker", [database, redis, hive, titles, schedule, bus])


@dataclass(frozen=True)
class Parts:
    """What commands work with, beside a worker that may run."""

    database: Database
    redis: RedisClient
    cycle: Cycle
    titles: Titles


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Parts]:
    """Opens the parts without a bus, and closes them at the end of the block."""
    database, redis = _stores(settings)
    hive = HiveClient(settings.hive_nodes, settings.hive_timeout)
    components: tuple[Component, ...] = (redis, hive)
    for component in components:
        await component.start()
    try:
        titles = Titles(database, hive, settings.titles_per_cycle)
        yield Parts(database, redis, _cycle(settings, database, redis), titles)
    finally:
        for component in (*components, database):
            await component.stop()


def _stores(settings: Settings) -> tuple[Database, RedisClient]:
    pool = max(settings.database_pool, LEAST_CONNECTIONS)
    return Database(settings.database_url, "sync_worker", pool), RedisClient(settings.redis_url)


def _cycle(settings: Settings, database: Database, redis: RedisClient) -> Cycle:
    source = Source(settings.primary_dsn)
    absent = frozenset(settings.absent_columns)
    return Cycle(source, database, redis.redis, settings.interval, settings.delete_guard, absent)
