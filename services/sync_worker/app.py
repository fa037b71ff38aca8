"""Wiring of the sync worker."""

from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.cache import RedisClient
from libs.common.contracts import content
from libs.common.db.engine import Database
from libs.common.hive import HiveClient
from libs.common.service import Service
from services.sync_worker.handlers import SyncHandlers
from services.sync_worker.primary.reading import Source
from services.sync_worker.replication.cycle import Cycle, Outcome, Trigger
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


async def run_once(settings: Settings) -> bool:
    """Runs one cycle and its titles without a bus; returns whether the cycle succeeded."""
    database, redis = _stores(settings)
    hive = HiveClient(settings.hive_nodes, settings.hive_timeout)
    service = Service("sync_worker", [database, redis, hive])
    await service.start()
    try:
        outcome = await _cycle(settings, database, redis).run(Trigger.DEMAND)
        await Titles(database, hive, settings.titles_per_cycle).fill_or_later()
    finally:
        await service.stop()
    return outcome is Outcome.DONE


def _stores(settings: Settings) -> tuple[Database, RedisClient]:
    pool = max(settings.database_pool, LEAST_CONNECTIONS)
    return Database(settings.database_url, "sync_worker", pool), RedisClient(settings.redis_url)


def _cycle(settings: Settings, database: Database, redis: RedisClient) -> Cycle:
    source = Source(settings.primary_dsn)
    return Cycle(source, database, redis.redis, settings.interval, settings.delete_guard)
