"""Wiring of the sync worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from libs.common.bus.base import Bus
from libs.common.bus.rabbit import RabbitBus
from libs.common.cache import RedisClient
from libs.common.cache.changes import Changes
from libs.common.contracts import content
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog, FactLog
from libs.common.hive import HiveClient
from libs.common.service import Component, Service
from services.sync_worker.handlers import SyncHandlers
from services.sync_worker.primary.connection import Source, unverified_hosts
from services.sync_worker.primary.notices import Notices
from services.sync_worker.replication.cycle import ALL_TABLES, Cycle
from services.sync_worker.replication.intervals import DECIDING, Intervals
from services.sync_worker.replication.schedule import Schedule, Schedules
from services.sync_worker.settings import Settings
from services.sync_worker.titles.demand import Demand
from services.sync_worker.titles.titles import Titles

# Two cycles and the titles hold one each for their lock while they work with another, the cycles with one more for what
# is owed to Redis; the log publishes with two.
LEAST_CONNECTIONS = 11
_log = structlog.get_logger(__name__)


def build(settings: Settings, bus: Bus | None = None) -> Service:
    """The service; `bus` replaces RabbitMQ in tests."""
    bus = bus or RabbitBus(settings.amqp_url, "sync_worker")
    database, redis = _stores(settings)
    hive = HiveClient(settings.hive_nodes, settings.hive_timeout)
    titles = Titles(database, hive, settings.titles_per_cycle)
    told = Changes(redis)
    log = EventLog(database, bus, told.tell)
    schedules = _schedules(_cycle(settings, log, redis), titles)
    clocks = Schedules(schedules)
    handlers = SyncHandlers(clocks, database, Intervals.of_settings(settings))

    bus.serve(content.sync_status, handlers.sync_status)
    bus.serve(content.sync_now, handlers.sync_now)
    bus.serve(content.primary_changed, handlers.primary_changed)

    if hosts := unverified_hosts(settings.primary_dsn):
        _log.warning("nothing proves that the primary is who it says; set sslmode to verify-full", hosts=hosts)
    notices = [Notices(settings.primary_dsn, ALL_TABLES, clocks.start_soon)] if settings.primary_notify else []
    demand = Demand(redis, titles)
    return Service(
        "sync_worker", [database, redis, hive, told, log, titles, demand, *schedules.values(), *notices, bus]
    )


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
        yield Parts(database, redis, _cycle(settings, FactLog(database), redis), titles)
    finally:
        for component in (*components, database):
            await component.stop()


def _stores(settings: Settings) -> tuple[Database, RedisClient]:
    pool = max(settings.database_pool, LEAST_CONNECTIONS)
    return Database(settings.database_url, "sync_worker", pool), RedisClient(settings.redis_url)


def _schedules(cycle: Cycle, titles: Titles) -> dict[frozenset[str], Schedule]:
    """Returns the clock of each group of tables: those that decide who may enter, and the others."""
    others = ALL_TABLES - DECIDING
    return {
        DECIDING: Schedule(cycle, DECIDING, cycle.intervals.access),
        others: Schedule(cycle, others, cycle.intervals.others, titles.fill_soon),
    }


def _cycle(settings: Settings, log: FactLog, redis: RedisClient) -> Cycle:
    source = Source(settings.primary_dsn)
    absent = frozenset(settings.absent_columns)
    return Cycle(source, log, redis.redis, Intervals.of_settings(settings), settings.delete_guard, absent)
