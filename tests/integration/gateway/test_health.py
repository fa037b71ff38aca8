"""How the gateway says how things are."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from libs.common import cache
from libs.common.bus.memory import MemoryBus
from libs.common.clock import now
from libs.common.contracts import log
from libs.common.contracts.content import BackupStatus, SyncStatus, TableStatus
from libs.common.contracts.schema.writing import encode
from libs.common.errors import UNAVAILABLE, PresenceError
from services.gateway import health
from tests.integration.common.world import proxied
from tests.integration.gateway.world import World


@pytest.fixture(autouse=True)
def always_a_new_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PICTURE_SECONDS", 0.0)


async def publish(world: World, *tables: TableStatus) -> None:
    """As sync_worker does after a cycle; it believed that all was well."""
    status = SyncStatus(True, list(tables))
    await world.redis.redis.set(cache.SYNC_STATUS, encode(status))


def run_ago(seconds: float, error: str | None = None, stale_after: float = 180.0) -> TableStatus:
    return TableStatus("posts", 5, now() - timedelta(seconds=seconds), 0.3, error, stale_after_seconds=stale_after)


async def test_all_is_well(world: World) -> None:
    await world.redis.redis.zadd(cache.ACTIVE, {"global:lobby": 3, "post:bob/hall": 2})
    answer = await world.ask("GET", "/api/health")
    assert (answer.status, answer.body["status"], answer.body["sessions"]) == (200, "ok", 5)
    assert {name: one["ok"] for name, one in answer.body["components"].items()} == {
        "redis": True, "rabbitmq": True, "spaces_auth": True, "database": True,
    }  # fmt: skip
    assert answer.body["sync"]["current"], "asked of sync_worker"
    assert [(one["table"], one["rows"]) for one in answer.body["sync"]["tables"]] == [("posts", 7)]
    short = await world.ask("GET", "/health")
    assert (short.status, short.body) == (200, {"status": "ok", "sync": {"current": True}})


async def test_a_replica_that_is_behind_is_at_fault_and_no_reason_to_turn_clients_away(world: World) -> None:
    await publish(world, run_ago(1.0, "the primary is away"))
    assert (await world.ask("GET", "/health")).body == {"status": "ok", "sync": {"current": False}}
    full = await world.ask("GET", "/api/health")
    assert (full.status, full.body["status"], full.body["at_fault"]) == (200, "degraded", ["sync"])
    assert full.body["sync"]["tables"][0]["last_error"] == "the primary is away"


@pytest.mark.parametrize(("age", "stale_after", "current"), [(170, 180, True), (181, 180, False), (31, 30, False)])
async def test_ages_are_taken_when_they_are_read_so_a_worker_that_says_nothing_more_is_behind(
    world: World, age: float, stale_after: float, current: bool
) -> None:
    await publish(world, run_ago(age, stale_after=stale_after))
    sync = (await world.ask("GET", "/api/health")).body["sync"]
    assert sync["current"] is current
    assert (await world.ask("GET", "/health")).body["sync"] == {"current": current}
    assert age <= sync["tables"][0]["lag_seconds"] < age + 5


async def test_what_was_never_copied_is_not_current(world: World) -> None:
    await publish(world, run_ago(1.0), TableStatus("collaboration_documents", 0, None, None, None))
    assert (await world.ask("GET", "/health")).body["sync"] == {"current": False}


async def test_a_worker_whose_clock_is_ahead_has_no_age_below_nothing(world: World) -> None:
    await publish(world, run_ago(-20.0))
    assert (await world.ask("GET", "/api/health")).body["sync"]["tables"][0]["lag_seconds"] == 0.0


def told(age: timedelta, drill_age: timedelta, error: str | None = None) -> bytes:
    made_at, drilled_at = now() - age, now() - drill_age
    return msgspec.json.encode(BackupStatus(made_at, 1234, drilled_at, 6 * 3600.0, 24 * 3600.0, error))


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ((11 * HOUR, HOUR), None),
        ((13 * HOUR, HOUR), "The newest backup is too old."),
        ((HOUR, 47 * HOUR), None),
        ((HOUR, 49 * HOUR), "The last good drill is too long ago."),
        ((HOUR, HOUR, "upload: no space there"), "upload: no space there"),
    ],
)
async def test_an_old_backup_an_old_drill_and_an_error_are_not_well_though_no_client_is_hurt(
    world: World, status: Any, error: str | None
) -> None:
    await world.redis.redis.set(cache.BACKUP_STATUS, told(*status))
    answer = await world.ask("GET", "/api/health")
    assert (answer.status, answer.body["status"], answer.body["at_fault"]) == (200, "ok", [])
    backup = answer.body["backup"]
    assert (backup["ok"], backup["bytes"], backup["error"]) == (error is None, 1234, error)
    assert [round(backup[name] / 3600) for name in ("age_seconds", "drill_age_seconds")] == [
        round(age / HOUR) for age in status[:2]
    ]


@pytest.mark.parametrize(("made_at", "error"), [(None, "No backup was made yet."), (now(), "No backup was tried yet.")])
async def test_a_stack_without_a_backup_or_a_drill_says_so(world: World, made_at: datetime | None, error: str) -> None:
    status = BackupStatus(made_at, 1234 if made_at else None, None, 6 * 3600.0, 24 * 3600.0, None)
    await world.redis.redis.set(cache.BACKUP_STATUS, msgspec.json.encode(status))
    backup = (await world.ask("GET", "/api/health")).body["backup"]
    assert (backup["ok"], backup["error"]) == (False, error)


@pytest.mark.parametrize("stored", [None, "nonsense", "{}", "null"])
async def test_backups_that_nobody_has_told_of_are_not_well(world: World, stored: str | None) -> None:
    if stored is not None:
        await world.redis.redis.set(cache.BACKUP_STATUS, stored)
    answer = await world.ask("GET", "/api/health")
    assert (answer.status, answer.body["backup"]["ok"], answer.body["backup"]["age_seconds"]) == (200, False, None)
    assert "Nothing is known of backups" in answer.body["backup"]["error"]


async def test_without_redis_it_is_503_and_names_it(redis_url: str, run: Any) -> None:
    async with proxied(redis_url) as proxy, run(proxy.url) as world:
        await proxy.close()
        answer = await world.ask("GET", "/api/health")
        assert (answer.status, answer.body["status"], answer.body["sessions"]) == (503, "degraded", None)
        assert {name for name, one in answer.body["components"].items() if not one["ok"]} == {"redis"}
        assert (answer.body["at_fault"], answer.body["components"]["redis"]["error"]) == (["redis"], "It is away.")
        short = await world.ask("GET", "/health")
        assert (short.status, short.body["sync"]) == (200, {"current": True})
        await proxy.open()
        assert (await world.ask("GET", "/api/health")).status == 200


async def test_without_the_broker_it_is_503_and_names_what_cannot_be_reached(world: World) -> None:
    await world.bus.stop()
    world.broker.running = False
    answer = await world.ask("GET", "/api/health")
    assert answer.status == 503
    assert answer.body["at_fault"] == ["rabbitmq", "sync"], "what lies behind it is not known"
    assert {name: one["ok"] for name, one in answer.body["components"].items()} == {
        "redis": True, "rabbitmq": False, "spaces_auth": None, "database": None,
    }  # fmt: skip
    assert (answer.body["sync"]["current"], answer.body["sync"]["tables"]) == (False, [])
    assert answer.body["sync"]["error"].startswith("sync_worker does not say: ")
    assert (await world.ask("GET", "/health")).body == {"status": "ok", "sync": {"current": False}}


async def test_a_service_that_hangs_is_away_before_a_prober_gives_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.1)

    async def hangs(*_: object) -> Any:
        await asyncio.Event().wait()

    deadlines: list[float | None] = []
    call = MemoryBus.call

    async def recorded(bus: MemoryBus, *arguments: Any, timeout: float | None = None) -> Any:
        deadlines.append(timeout)
        return await call(bus, *arguments, timeout=timeout)

    monkeypatch.setattr(MemoryBus, "call", recorded)
    world.bus.serve(log.heads, hangs)
    answer = await world.ask("GET", "/api/health")
    assert answer.status == 503
    assert answer.body["at_fault"] == ["spaces_auth"]
    assert answer.body["components"]["database"]["ok"] is None
    assert set(deadlines) == {health.PATIENCE}


async def test_a_database_that_is_away_is_named_and_not_the_service_that_says_so(world: World) -> None:
    async def without_database(*_: object) -> Any:
        raise PresenceError(UNAVAILABLE, "The database is away.")

    world.bus.serve(log.heads, without_database)
    answer = await world.ask("GET", "/api/health")
    assert (answer.status, answer.body["at_fault"]) == (503, ["database"])
    assert answer.body["components"]["spaces_auth"]["ok"]


async def test_a_full_redis_is_named_though_it_answers(world: World) -> None:
    await world.redis.redis.config_set("maxmemory", 1)
    try:
        answer = await world.ask("GET", "/api/health")
    finally:
        await world.redis.redis.config_set("maxmemory", 0)
    assert (answer.status, answer.body["at_fault"]) == (503, ["redis"])
    assert answer.body["components"]["redis"]["error"] == "It is full."


@pytest.mark.parametrize("stored", ["nonsense", "[]", "{}", "null"])
async def test_a_status_in_redis_that_cannot_be_read_is_as_good_as_none(world: World, stored: str) -> None:
    await world.redis.redis.set(cache.SYNC_STATUS, stored)
    assert (await world.ask("GET", "/health")).body == {"status": "ok", "sync": {"current": True}}
    assert (await world.ask("GET", "/api/health")).status == 200
