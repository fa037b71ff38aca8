"""Cycles run at once, by the clock, on demand and after failures, and never two at a time."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, cast

from services.sync_worker.replication.cycle import ALL_TABLES, Cycle, Outcome, Trigger
from services.sync_worker.replication.schedule import FIRST_RETRY, Schedule


class Recorder:
    """A cycle that takes no time unless it is held, and ends as it is told."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.outcomes: list[Outcome] = []
        self.runs: asyncio.Queue[tuple[Trigger, frozenset[str]]] = asyncio.Queue()
        self.free = asyncio.Event()
        self.free.set()

    async def run(self, trigger: Trigger, tables: Collection[str]) -> Outcome:
        self.runs.put_nowait((trigger, frozenset(tables)))
        await self.free.wait()
        return self.outcomes.pop(0) if self.outcomes else Outcome.DONE


@asynccontextmanager
async def scheduled(recorder: Recorder) -> AsyncIterator[Schedule]:
    schedule = Schedule(cast("Cycle", cast("Any", recorder)), ALL_TABLES, recorder.interval)
    await schedule.start()
    try:
        async with asyncio.timeout(5):
            yield schedule
    finally:
        await schedule.stop()


async def test_the_first_cycle_runs_at_once_and_the_next_by_the_clock() -> None:
    recorder = Recorder(0.01)
    async with scheduled(recorder):
        assert await recorder.runs.get() == (Trigger.NOW, ALL_TABLES)
        assert await recorder.runs.get() == (Trigger.CLOCK, ALL_TABLES)


async def test_a_demand_during_a_cycle_gets_a_cycle_of_its_own() -> None:
    recorder = Recorder(60)
    recorder.free.clear()
    async with scheduled(recorder) as schedule:
        await recorder.runs.get()
        waiting = asyncio.create_task(schedule.run_now(ALL_TABLES))
        await asyncio.sleep(0)
        recorder.free.set()

        assert await waiting is Outcome.DONE
        assert await recorder.runs.get() == (Trigger.DEMAND, ALL_TABLES)


async def test_demands_that_wait_together_share_one_cycle() -> None:
    recorder = Recorder(60)
    recorder.free.clear()
    async with scheduled(recorder) as schedule:
        await recorder.runs.get()
        waiting = [asyncio.create_task(schedule.run_now(frozenset({name}))) for name in ("posts", "posts", "x")]
        await asyncio.sleep(0)
        recorder.free.set()
        await asyncio.gather(*waiting)

        assert await recorder.runs.get() == (Trigger.DEMAND, frozenset({"posts", "x"}))
        assert recorder.runs.empty()


async def test_demands_for_one_table_do_not_put_off_the_cycle_over_all() -> None:
    recorder = Recorder(0.2)
    async with scheduled(recorder) as schedule:
        await recorder.runs.get()
        seen: set[frozenset[str]] = set()
        while ALL_TABLES not in seen:
            await schedule.run_now(frozenset({"posts"}))
            seen.add((await recorder.runs.get())[1])

        assert frozenset({"posts"}) in seen


async def test_a_failed_cycle_is_tried_again_sooner_than_the_interval_then_ever_later() -> None:
    recorder = Recorder(60)
    schedule = Schedule(cast("Cycle", cast("Any", recorder)), ALL_TABLES, recorder.interval)
    delays = []
    for _ in range(8):
        schedule._plan(0.0, Outcome.FAILED)
        delays.append(schedule._due)

    assert FIRST_RETRY * 0.8 <= delays[0] <= FIRST_RETRY * 1.2
    assert delays == sorted(delays)
    assert delays[-1] == 60
    schedule._plan(0.0, Outcome.DONE)
    assert schedule._due == 60


async def test_stopping_gives_up_those_who_wait() -> None:
    recorder = Recorder(60)
    recorder.free.clear()
    async with scheduled(recorder) as schedule:
        await recorder.runs.get()
        recorder.free.set()
        served = asyncio.create_task(schedule.run_now(ALL_TABLES))
        recorder.free.clear()
        await recorder.runs.get()
        later = asyncio.create_task(schedule.run_now(ALL_TABLES))
        await asyncio.sleep(0)
        await schedule.stop()

        outcomes = await asyncio.gather(served, later, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2
