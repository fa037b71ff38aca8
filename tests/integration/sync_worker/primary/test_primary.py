"""What the primary's owner may give: a login that only reads, notices of changes, TLS."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.guardian import REPOSITORY
from libs.common.bus.base import Caller
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.contracts import content
from libs.common.contracts.auth import Empty
from libs.common.identity import service_identity
from services.sync_worker.app import build
from services.sync_worker.primary import notices
from services.sync_worker.primary.connection import Primary, PrimaryAway
from services.sync_worker.replication.cycle import Cycle, Outcome, Trigger
from services.sync_worker.replication.schedule import LEAST_BETWEEN
from services.sync_worker.settings import Settings
from tests.integration.sync_worker.world import World
from tests.support.waiting import eventually

NOTIFY = (REPOSITORY / "deploy" / "primary" / "notify.sql").read_text()
GRANTS = (REPOSITORY / "deploy" / "primary" / "grants.sql").read_text()
CALLER = Caller(service_identity("gateway"), "request-1")
SOON = 15.0  # seconds, of an hour to the next cycle
HIDE = "UPDATE posts SET hidden = true WHERE permlink = 'my-360-photo'"
SHOW = "UPDATE posts SET hidden = false WHERE permlink = 'my-360-photo'"
TABLES = ("posts", "collaboration_documents", "collaboration_permissions", "presence_permissions", "presence_events")


@pytest.fixture
def settings(world: World, database_url: str, redis_url: str, hive_url: str) -> Settings:
    """A worker that would look once an hour."""
    defaults = {field.name: field.metadata["default"] for field in fields(Settings)}
    chosen = {"primary_url": world.primary_url, "database_url": database_url, "redis_url": redis_url}
    hourly = {"interval": 3600.0, "access_interval": 3600.0}
    return Settings(**{**defaults, **chosen, **hourly, "hive_nodes": (hive_url,)})


@asynccontextmanager
async def working(world: World, settings: Settings) -> AsyncIterator[MemoryBus]:
    """A worker that is up to date, and the bus on which it is asked."""
    broker = MemoryBroker()
    service = build(settings, bus=MemoryBus(broker))
    await service.start()
    try:
        await eventually(lambda: is_copied(world))
        yield MemoryBus(broker)
    finally:
        await service.stop()


async def is_copied(world: World) -> bool:
    return await world.replica("SELECT count(*) FROM sync_state WHERE last_run_at IS NOT NULL") == [(4,)]


async def is_hidden(world: World, expected: bool = True) -> bool:
    return await world.replica("SELECT hidden FROM posts WHERE permlink = 'my-360-photo'") == [(expected,)]


async def listeners(world: World) -> list[tuple[Any, ...]]:
    """Returns the process ids of the connections that listen: they have begun to, or look whether they live."""
    return await world.original(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE '% notices' AND query ~ '^(LISTEN|SELECT 1)'"
    )


async def test_a_change_at_the_primary_arrives_without_waiting_for_the_clock(world: World, settings: Settings) -> None:
    await world.primary.execute(NOTIFY)
    async with working(world, replace(settings, primary_notify=True)):
        await eventually(lambda: listeners(world))
        for hidden in (True, False, True):  # the first may come with the cycle for what was missed before
            await world.primary.execute(HIDE if hidden else SHOW)
            await eventually(partial(is_hidden, world, hidden), SOON)


async def test_changes_arrive_again_when_the_connection_was_lost(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(notices, "PROBE_SECONDS", 0.1)
    await world.primary.execute(NOTIFY)
    async with working(world, replace(settings, primary_notify=True)):
        [(lost,)] = await eventually(lambda: listeners(world))
        await world.primary.execute(HIDE)
        await eventually(lambda: is_hidden(world), SOON)
        await world.primary.execute(f"SELECT pg_terminate_backend({lost})")
        await world.primary.execute(SHOW)
        await eventually(lambda: is_hidden(world, expected=False), SOON)


async def test_many_notices_at_once_are_one_cycle_a_second(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[Trigger, frozenset[str]]] = []
    run = Cycle.run

    async def counted(self: Cycle, trigger: Trigger, tables: Any, **options: Any) -> Outcome:
        runs.append((trigger, frozenset(tables)))
        return await run(self, trigger, tables, **options)

    monkeypatch.setattr(Cycle, "run", counted)
    async with working(world, settings) as bus:
        runs.clear()
        began = time.monotonic()
        while time.monotonic() < began + 2 * LEAST_BETWEEN:
            await bus.call(content.primary_changed, Empty(), CALLER)
            await asyncio.sleep(0.01)
        await world.primary.execute(HIDE)
        await bus.call(content.primary_changed, Empty(), CALLER)
        await eventually(lambda: is_hidden(world), SOON)
        most = 1 + (time.monotonic() - began) / LEAST_BETWEEN
    assert 1 < len([tables for _, tables in runs if "posts" in tables]) <= most
    assert {trigger for trigger, _ in runs} == {Trigger.DEMAND}


async def test_votes_make_no_notice_and_what_closes_a_post_makes_one(world: World) -> None:
    heard: list[str] = []
    for _ in range(2):  # as often as you like
        await world.primary.execute(NOTIFY)
    ours = await asyncpg.connect(world.primary_url)
    await ours.add_listener(notices.CHANNEL, lambda *said: heard.append(said[3]))
    await ours.execute("UPDATE posts SET votes = votes + 1")
    for table in TABLES:
        await ours.execute(f"DELETE FROM {table} WHERE false")
    await ours.execute(HIDE)
    await ours.close()
    assert heard == [*TABLES, "posts"]


@pytest.fixture
async def reader_url(world: World) -> str:
    """The primary by the login that grants.sql makes."""
    for _ in range(2):  # as often as you like
        await world.primary.execute(GRANTS)
    await world.primary.execute("ALTER ROLE presence_reader PASSWORD 'test'")
    address = urlsplit(world.primary_url)
    return f"postgresql://presence_reader:test@{address.netloc.rpartition('@')[2]}{address.path}"


async def test_the_login_of_grants_sql_suffices_for_the_worker(world: World, reader_url: str) -> None:
    for _ in range(2):
        assert await world.cycle(dsn=reader_url).run(Trigger.DEMAND) is Outcome.DONE
    assert await world.replica("SELECT count(*) FROM posts") == await world.original("SELECT count(*) FROM posts")


async def test_the_login_of_grants_sql_reads_five_tables_and_writes_none(world: World, reader_url: str) -> None:
    await world.primary.execute("CREATE TABLE accounts (password text)")
    reader = await asyncpg.connect(reader_url)
    try:
        await reader.execute("SET default_transaction_read_only = off")
        for statement in (
            HIDE,
            "DELETE FROM presence_permissions",
            "SELECT * FROM accounts",
            "CREATE TABLE mine (a int)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.execute(statement)
        assert await reader.fetchval("SELECT current_setting('statement_timeout')") == "30s"
    finally:
        await reader.close()


async def test_through_a_pooler_each_read_is_a_transaction_that_leaves_nothing_behind(world: World) -> None:
    lent = await asyncpg.connect(world.primary_url, statement_cache_size=0)
    primary = Primary(lent, is_pooled=True)
    for statement in (HIDE, "SELECT no_such_thing"):
        with pytest.raises(PrimaryAway):
            await primary.fetch(statement)
    held = "SELECT current_setting('transaction_read_only') || ' ' || current_setting('statement_timeout')"
    assert (await primary.fetch(held))[0][0] == "on 30s"
    assert await lent.fetchval(held) == "off 0"
    assert await lent.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0
    await primary.close()


@pytest.mark.parametrize(("mode", "outcome"), [("disable", Outcome.DONE), ("require", Outcome.FAILED)])
async def test_the_mode_of_tls_in_the_address_is_kept_to(world: World, mode: str, outcome: Outcome) -> None:
    """The tests' primary speaks no TLS."""
    assert await world.cycle(dsn=f"{world.primary_url}?sslmode={mode}").run(Trigger.DEMAND) is outcome
