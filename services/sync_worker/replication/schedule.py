"""Decides when cycles run: at once after a start, then every interval, sooner after a failure, and on demand."""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable, Mapping

import structlog

from libs.common.tasks.background import Background
from services.sync_worker.replication.cycle import ALL_TABLES, Cycle, Outcome, Trigger

_log = structlog.get_logger(__name__)
LEAST_BETWEEN = 1.0  # seconds from the start of a cycle to that of the next that `start_soon` asks for
FIRST_RETRY = 2.0  # seconds after a failed cycle; doubled by each further failure, up to the interval


class Schedule:
    """A component that runs cycles over `tables` one after the other, one every `interval` seconds.

    It calls `after_cycle` after each.
    """

    def __init__(
        self, cycle: Cycle, tables: frozenset[str], interval: float, after_cycle: Callable[[], None] = lambda: None
    ) -> None:
        self._cycle = cycle
        self._tables = tables
        self._interval = interval
        self._after_cycle = after_cycle
        self._wanted: list[tuple[frozenset[str], asyncio.Future[Outcome]]] = []
        self._soon: frozenset[str] = frozenset()
        self._started = -math.inf  # the last cycle, on the monotonic clock
        self._wake = asyncio.Event()
        self._failures = 0
        self._due = 0.0  # on the monotonic clock
        self._next = Trigger.NOW
        self._background = Background()

    async def start(self) -> None:
        self._background.begin(self._run())

    async def stop(self) -> None:
        """Gives up the cycle under way; the next one goes on where it stood."""
        await self._background.end()
        for _, waiting in self._wanted:
            _answer(waiting, None)

    @property
    def ready(self) -> bool:
        return self._background.runs

    async def run_now(self, tables: frozenset[str]) -> Outcome:
        """Runs a whole cycle over `tables` that begins after this call; returns its outcome."""
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._wanted.append((tables, waiting))
        self._wake.set()
        return await waiting

    def start_soon(self, tables: frozenset[str]) -> None:
        """Has a cycle over `tables` start now, or `LEAST_BETWEEN` after the last; asked often meanwhile, it is one."""
        self._soon |= tables
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._run_one()
            self._after_cycle()
            await self._pause()

    async def _run_one(self) -> None:
        """Runs a cycle over the wanted tables, or over all when that is due."""
        self._wake.clear()
        served, self._wanted = self._wanted, []
        started = self._started = time.monotonic()
        wanted = self._soon.union(*(tables for tables, _ in served))
        is_demanded, self._soon = bool(wanted), frozenset()
        tables = self._tables if started >= self._due or not wanted else wanted
        outcome: Outcome | None = None  # remains so if the process stops in the middle
        try:
            outcome = await self._cycle.run(Trigger.DEMAND if is_demanded else self._next, tables)
        finally:
            for _, waiting in served:
                _answer(waiting, outcome)
        if tables == self._tables or outcome is Outcome.FAILED:
            self._plan(started, outcome)

    def _plan(self, started: float, outcome: Outcome) -> None:
        """Sets when the next cycle over all of `tables` is due."""
        if outcome is Outcome.FAILED:
            self._due = started + self._backoff()
            self._next = Trigger.NOW
            self._failures += 1
        else:
            self._due = started + self._interval
            self._next = Trigger.CLOCK
            self._failures = 0

    def _backoff(self) -> float:
        # Spread, so that several workers do not retry in step.
        doubled = FIRST_RETRY * 2.0 ** min(self._failures, 20) * random.uniform(0.8, 1.2)  # noqa: S311
        return min(self._interval, doubled)

    async def _pause(self) -> None:
        """Waits until the next cycle is due or wanted."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(self._due - time.monotonic(), 0.0)):
                await self._wake.wait()
        if self._soon and not self._wanted:
            await asyncio.sleep(max(self._started + LEAST_BETWEEN - time.monotonic(), 0.0))


def _answer(waiting: "asyncio.Future[Outcome]", outcome: Outcome | None) -> None:
    if waiting.done():
        return
    if outcome is None:
        waiting.cancel()
    else:
        waiting.set_result(outcome)


class Schedules:
    """The clocks of several groups of tables, each with its own connection to the primary: none waits for another."""

    def __init__(self, schedules: Mapping[frozenset[str], Schedule]) -> None:
        self._schedules = schedules

    async def run_now(self, tables: frozenset[str] = ALL_TABLES) -> Outcome:
        """Runs whole cycles over `tables` that begin after this call; returns the worst of their outcomes."""
        outcomes = await asyncio.gather(
            *(schedule.run_now(group & tables) for group, schedule in self._schedules.items() if group & tables)
        )
        return Outcome.FAILED if Outcome.FAILED in outcomes else outcomes[0]

    def start_soon(self, tables: frozenset[str] = ALL_TABLES) -> None:
        """Has cycles over `tables` start, each as soon as its clock allows; waits for none."""
        for group, schedule in self._schedules.items():
            if group & tables:
                schedule.start_soon(group & tables)
