"""The whole process: it follows the primary by itself, answers on the bus and survives what it stands on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace

import pytest
from prometheus_client import REGISTRY

from deploy.local.servers.postgres import Postgres
from deploy.local.servers.redis import Redis
from libs.common.bus.base import Caller
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.bus.rabbit import RabbitBus
from libs.common.contracts import content
from libs.common.contracts.auth import Empty
from libs.common.contracts.content import SyncRequest, SyncStatus
from libs.common.contracts.schema import load
from libs.common.errors import CONFLICT, INVALID_INPUT, ErrorCode, PresenceError
from libs.common.identity import service_identity
from libs.common.service import Service
from services.sync_worker import handlers
from services.sync_worker.app import build
from services.sync_worker.locks import TABLE_LOCKS, lock
from services.sync_worker.settings import Settings
from tests.integration.sync_worker.world import World
from tests.support.servers import as_service
from tests.support.waiting import eventually

CALLER = Caller(service_identity("gateway"), "request-1")
PHOTO = "WHERE permlink = 'my-360-photo'"


class Running:
    """A service on a memory bus, and a client of it."""

    def __init__(self, client: MemoryBus, service: Service) -> None:
        self._client, self.service = client, service

    async def status(self) -> SyncStatus:
        return await self._client.call(content.sync_status, Empty(), CALLER)

    async def sync_now(self, table: str | None = None) -> SyncStatus:
        return await self.ask(SyncRequest(table))

    async def ask(self, request: SyncRequest) -> SyncStatus:
        return await self._client.call(content.sync_now, request, CALLER, timeout=30.0)

    async def refused(self, request: SyncRequest) -> ErrorCode:
        with pytest.raises(PresenceError) as refused:
            await self.ask(request)
        return refused.value.kind

    async def is_current(self) -> bool:
        try:
            return (await self.status()).current
        except PresenceError:
            return False


@pytest.fixture
def settings(world: World, database_url: str, redis_url: str, hive_url: str) -> Settings:
    defaults = {field.name: field.metadata["default"] for field in fields(Settings)}
    chosen = {"primary_url": world.primary_url, "database_url": database_url, "redis_url": redis_url}
    return Settings(**{**defaults, **chosen, "hive_nodes": (hive_url,)})


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    broker = MemoryBroker()
    client = MemoryBus(broker)
    service = build(settings, bus=MemoryBus(broker))
    await service.start()
    try:
        yield Running(client, service)
    finally:
        await service.stop()


async def test_after_a_start_the_first_cycle_runs_at_once_and_titles_follow(world: World, settings: Settings) -> None:
    async with running(settings) as worker:
        await eventually(worker.is_current)
        assert {table.table: table.rows for table in (await worker.status()).tables} == {
            "posts": 213,
            "collaboration_documents": 7,
            "collaboration_permissions": 5,
            "presence_permissions": 4,
            "presence_events": 2,
        }

        async def titled() -> bool:
            return await world.replica("SELECT count(*) FROM posts WHERE title IS NULL") == [(0,)]

        await eventually(titled)
        assert worker.service.not_ready() == []


async def test_sync_now_brings_a_change_before_it_replies(world: World, settings: Settings) -> None:
    async with running(settings) as worker:
        await eventually(worker.is_current)
        await world.primary.execute(f"UPDATE posts SET votes = 4711 {PHOTO}")

        status = await worker.sync_now()

        assert status.current
        assert await world.replica(f"SELECT votes FROM posts {PHOTO}") == [(4711,)]


async def test_sync_now_of_one_table_leaves_the_others(world: World, settings: Settings) -> None:
    async with running(settings) as worker:
        await eventually(worker.is_current)
        await world.primary.execute(f"UPDATE posts SET votes = 4711 {PHOTO}")
        await world.primary.execute("UPDATE collaboration_documents SET title = 'New' WHERE id = 124")

        await worker.sync_now("collaboration_documents")

        assert await world.replica("SELECT title FROM collaboration_documents WHERE space_id = '124'") == [("New",)]
        assert await world.replica(f"SELECT votes FROM posts {PHOTO}") == [(182,)]


async def test_a_confirmation_is_carried_out_while_the_worker_runs(world: World, settings: Settings) -> None:
    async with running(settings) as worker:
        await eventually(worker.is_current)
        await world.primary.execute("DELETE FROM posts WHERE author <> 'alice'")
        waiting = next(one.closed_rows for one in (await worker.sync_now("posts")).tables if one.table == "posts")

        assert await worker.refused(SyncRequest("posts", waiting - 1)) is CONFLICT
        assert await worker.refused(SyncRequest("collaboration_documents", waiting)) is CONFLICT
        assert await worker.refused(SyncRequest(None, waiting)) is INVALID_INPUT
        status = await worker.ask(SyncRequest("posts", waiting))

        assert status.current
        assert await world.replica("SELECT DISTINCT author FROM posts") == [("alice",)]


async def test_many_who_want_a_sync_at_once_all_get_one(settings: Settings) -> None:
    async with running(settings) as worker:
        statuses = await asyncio.gather(*(worker.sync_now() for _ in range(20)))

        assert all(status.current for status in statuses)


async def test_sync_worker_answers_over_rabbitmq(world: World, settings: Settings, amqp_url: str) -> None:
    service, client = (
        build(replace(settings, amqp_url=as_service(amqp_url, "sync_worker"))),
        RabbitBus(as_service(amqp_url, "gateway"), "test"),
    )
    await service.start()
    await client.start()

    async def connected() -> bool:
        return client.ready and not service.not_ready()

    try:
        await eventually(connected)
        status = await client.call(content.sync_now, SyncRequest(), CALLER, timeout=30.0)
        assert status.current
    finally:
        await client.stop()
        await service.stop()


async def test_what_the_worker_tells_is_published_over_rabbitmq(
    world: World, settings: Settings, amqp_url: str
) -> None:
    service = build(replace(settings, amqp_url=as_service(amqp_url, "sync_worker"), interval=1.0))

    async def published() -> list[tuple[object, ...]]:
        return await world.replica("SELECT name FROM event_log WHERE published_at IS NOT NULL")

    await world.sync()
    await world.primary.execute(f"UPDATE posts SET hidden = true {PHOTO}")
    await service.start()
    try:
        assert await eventually(published, 30.0) == [("content.post_changed",)]
    finally:
        await service.stop()


async def test_an_unknown_table_is_refused(settings: Settings) -> None:
    async with running(settings) as worker:
        assert await worker.refused(SyncRequest("secrets")) is INVALID_INPUT


async def test_changes_arrive_by_the_clock_and_the_status_is_in_redis(world: World, settings: Settings) -> None:
    async with running(replace(settings, interval=2.0)) as worker:  # current is 3 intervals: a slow cycle must fit
        await eventually(worker.is_current)
        await world.primary.execute(f"UPDATE posts SET votes = 4711 {PHOTO}")

        async def arrived() -> bool:
            return await world.replica(f"SELECT votes FROM posts {PHOTO}") == [(4711,)]

        await eventually(arrived)
        published = await world.redis.redis.get("sync:status")
        status = load(SyncStatus, json.loads(published or "{}"))
        assert status.current
        assert status.tables[0].table == "posts"
        assert await world.redis.redis.ttl("sync:status") > 86_400, "a worker that ended is still said to be behind"


def lag_of(table: str) -> float:
    """What Prometheus reads."""
    value = REGISTRY.get_sample_value("presence_sync_lag_seconds", {"table": table})
    assert value is not None
    return value


async def test_the_age_that_prometheus_reads_grows_between_cycles(world: World, settings: Settings) -> None:
    async with running(settings) as worker:
        await eventually(worker.is_current)
        before = lag_of("posts")

        async def older() -> bool:
            return lag_of("posts") > before

        await eventually(older)


async def test_sync_now_answers_at_once_while_a_long_cycle_is_under_way_which_ends_by_itself(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "PATIENCE_SECONDS", 0.2)
    async with running(settings) as worker:
        await eventually(worker.is_current)
        async with lock(world.database, TABLE_LOCKS["posts"], wait=True):
            await world.primary.execute(f"UPDATE posts SET votes = 4711 {PHOTO}")

            assert (await worker.sync_now()).under_way

        async def arrived() -> bool:
            return await world.replica(f"SELECT votes FROM posts {PHOTO}") == [(4711,)]

        await eventually(arrived)
        assert not (await worker.status()).under_way


async def test_losing_postgresql_and_redis_does_not_end_the_worker(
    world: World, settings: Settings, postgres_server: Postgres, redis_server: Redis
) -> None:
    async with running(replace(settings, interval=2.0)) as worker:  # current is 3 intervals: a slow cycle must fit
        await eventually(worker.is_current)
        await postgres_server.stop()
        await redis_server.stop()

        async def says_so() -> bool:
            return "Database" in worker.service.not_ready()

        try:
            await eventually(says_so)
        finally:
            await redis_server.start()
            await postgres_server.start()
        await eventually(worker.is_current)
        status = await worker.sync_now()

        assert status.current
        assert worker.service.not_ready() == []
