"""The runner: the order of a process's life, and how it tells of it."""

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import unused_port

from libs.common import service as runner
from libs.common.service import Impatience, OpsServer, Service
from libs.common.settings import CommonSettings, SettingsError
from tests.support.clock import Clock


class Part:
    """A component that writes down what happens to it, in a list that it shares with the others."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.name, self.diary = name, diary

    async def start(self) -> None:
        self.diary.append(f"{self.name} starts")

    async def stop(self) -> None:
        self.diary.append(f"{self.name} stops")


class Worker(Part):
    """One that drains, and is ready when told."""

    ready = False

    async def drain(self) -> None:
        self.diary.append(f"{self.name} drains")


class Stuck(Worker):
    """One whose `stuck_in` never ends, or raises `raising`."""

    def __init__(self, name: str, diary: list[str], stuck_in: str, raising: Exception | None = None) -> None:
        super().__init__(name, diary)
        self._stuck_in, self._raising = stuck_in, raising

    async def _be_stuck(self) -> None:
        if self._raising:
            raise self._raising
        await asyncio.Event().wait()

    async def start(self) -> None:
        await (self._be_stuck() if self._stuck_in == "start" else super().start())

    async def drain(self) -> None:
        await (self._be_stuck() if self._stuck_in == "drain" else super().drain())

    async def stop(self) -> None:
        await (self._be_stuck() if self._stuck_in == "stop" else super().stop())


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LONGEST_STOP", 0.05)


async def test_parts_start_in_order_drain_first_and_stop_in_reverse() -> None:
    diary: list[str] = []
    service = Service("test", [Part("database", diary), Worker("bus", diary), Worker("server", diary)])
    await service.start()
    await service.stop()
    assert diary == [
        "database starts", "bus starts", "server starts",
        "server drains", "bus drains",
        "server stops", "bus stops", "database stops",
    ]  # fmt: skip


async def test_a_part_that_hangs_in_its_stop_is_given_up() -> None:
    diary: list[str] = []
    service = Service("test", [Part("database", diary), Stuck("bus", diary, "stop")])
    await service.start()
    await asyncio.wait_for(service.stop(), 5)
    assert diary[-1] == "database stops"


async def test_a_part_that_fails_to_stop_does_not_keep_the_others() -> None:
    diary: list[str] = []
    service = Service("test", [Part("database", diary), Stuck("bus", diary, "stop", OSError("gone"))])
    await service.start()
    await service.stop()
    assert diary[-1] == "database stops"


async def test_draining_ends_with_its_deadline() -> None:
    diary: list[str] = []
    service = Service("test", [Part("database", diary), Stuck("bus", diary, "drain")])
    await service.start()
    await asyncio.wait_for(service.stop(drain_seconds=0.05), 5)
    assert diary[-2:] == ["bus stops", "database stops"]


async def test_a_part_that_fails_to_drain_keeps_nobody_from_draining_and_stopping() -> None:
    diary: list[str] = []
    service = Service("test", [Worker("database", diary), Stuck("bus", diary, "drain", OSError("gone"))])
    await service.start()
    await service.stop()
    assert diary[-3:] == ["database drains", "bus stops", "database stops"]


async def test_a_service_that_failed_to_start_stops_what_had_started() -> None:
    diary: list[str] = []
    service = Service("test", [Part("database", diary), Stuck("bus", diary, "start", OSError("no")), Part("x", diary)])
    with pytest.raises(OSError, match="no"):
        await service.start()
    await service.stop()
    assert diary == ["database starts", "database stops"]


async def asked(port: int, path: str) -> tuple[int, Any]:
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await (answer.json() if path != "/metrics" else answer.text())


async def test_readyz_names_what_is_missing_through_the_whole_life() -> None:
    bus = Worker("bus", [])
    service = Service("test", [Part("database", []), bus])
    port = unused_port()
    ops = OpsServer(service, "127.0.0.1", port)
    await ops.start()
    try:
        assert await asked(port, "/readyz") == (503, {"ready": False, "waiting_for": ["starting"]})
        assert await asked(port, "/livez") == (200, {"live": True})
        await service.start()
        assert await asked(port, "/readyz") == (503, {"ready": False, "waiting_for": ["Worker"]})
        bus.ready = True
        assert await asked(port, "/readyz") == (200, {"ready": True, "waiting_for": []})
        assert "presence_bus_call_seconds" in (await asked(port, "/metrics"))[1]
        await service.stop()
        assert await asked(port, "/readyz") == (503, {"ready": False, "waiting_for": ["draining"]})
    finally:
        await ops.stop()


def impatience(worker: Worker, *, is_edge: bool = False, seconds: float = 60.0) -> tuple[Impatience, Clock]:
    """Of a started service with one component that is ready when told."""
    clock = Clock()
    service = Service("test", [worker], is_edge=is_edge)
    service._started = [worker]
    return Impatience(service, seconds, clock), clock


@pytest.mark.parametrize("is_edge", [False, True], ids=["a worker", "an edge"])
def test_a_process_that_never_was_ready_ends_itself_after_its_time(is_edge: bool) -> None:
    watch, clock = impatience(Worker("w", []), is_edge=is_edge)
    clock.now += 59
    assert not watch.is_over()
    clock.now += 1
    assert watch.is_over()


def test_a_worker_that_was_ready_ends_itself_when_it_was_not_for_so_long_on_end() -> None:
    worker = Worker("w", [])
    watch, clock = impatience(worker)
    for _ in range(3):
        clock.now += 59
        worker.ready = False
        assert not watch.is_over()
        worker.ready = True
        assert not watch.is_over()
    worker.ready = False
    clock.now += 60
    assert watch.is_over()


def test_an_edge_that_was_ready_stays_for_those_who_are_connected() -> None:
    worker = Worker("w", [])
    watch, clock = impatience(worker, is_edge=True)
    worker.ready = True
    assert not watch.is_over()
    worker.ready = False
    clock.now += 3600
    assert not watch.is_over()


def test_without_a_time_nobody_ends_itself() -> None:
    watch, clock = impatience(Worker("w", []), seconds=0)
    clock.now += 3600
    assert not watch.is_over()


def test_a_setting_that_only_its_user_can_judge_is_named_at_the_start_as_any_other_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("libs.common.log.configure", lambda *_: None)  # of the tests' own process

    def build(_: CommonSettings) -> Service:
        raise SettingsError("PRESENCE_X: 'y' is none.")

    with pytest.raises(SystemExit, match="a part: PRESENCE_X: 'y' is none"):
        runner.run("a part", CommonSettings, build)
