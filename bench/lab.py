"""The parts of every scenario: the system, the generator, interleaved runs, and medians."""

import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.generator import Generator, LoadError, Run, Target
from bench.machine import ALL, OTHERS, SERVER
from bench.peers import peer
from bench.system import OURS, System


@dataclass(frozen=True)
class Plan:
    """How much is measured. `seconds` is one run's, after its warm-up; `scale` multiplies every crowd.

    `stretch`: whether the goals beyond the goals are measured too.
    """

    runs: int = 3
    seconds: float = 5.0
    chat_seconds: float = 60.0
    warmup: float = 1.5
    scale: float = 1.0
    stretch: bool = True

    def people(self, full: int) -> int:
        return max(round(full * self.scale), 4)


FULL = Plan()
QUICK = Plan(runs=1, seconds=0.7, chat_seconds=1.5, warmup=0.3, scale=0.04, stretch=False)


@dataclass(frozen=True)
class Figure:
    """One row of the report. `ratio` is ours over the peer's; `met` is None where there is no goal."""

    name: str
    ours: float
    unit: str
    goal: str = ""
    met: bool | None = None
    peer: str = ""
    theirs: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.theirs else None


@dataclass
class Outcome:
    """The result of a scenario: its rows, and by server the runs and their medians."""

    figures: list[Figure] = field(default_factory=list)
    medians: dict[str, Run] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """A server and where it stands: `name` is the key in an outcome."""

    name: str
    replicas: tuple[str, ...] = ()  # ours
    processes: int = 1  # a peer's
    arguments: tuple[str, ...] = ()


US = Contestant(OURS)


class Lab:
    """`say` is told what happens."""

    def __init__(self, system: System, generator: Generator, plan: Plan, say: Callable[[str], None]) -> None:
        self.system = system
        self.plan = plan
        self._generator = generator
        self.say = say
        self._alone = True

    def server_alone(self, alone: bool) -> None:
        """Says whether the server has a core to itself, as comparisons want it, or the whole system shares."""
        self._alone = alone
        self.system.share_cores(alone=alone)
        self._generator.cores = OTHERS if alone else ALL

    async def compare(self, contestants: Iterable[Contestant], mode: str, clients: int, **options: Any) -> Outcome:
        """Puts the load on each server in turn, so many times; a run that fails is left out and said."""
        contestants, outcome = list(contestants), Outcome()
        for _ in range(self.plan.runs):
            for contestant in contestants:
                run = await self._try(contestant, mode, clients, options)
                if run:
                    outcome.runs.setdefault(contestant.name, []).append(run)
        outcome.medians = {name: medians(runs) for name, runs in outcome.runs.items()}
        return outcome

    async def _try(self, contestant: Contestant, mode: str, clients: int, options: dict[str, Any]) -> Run | None:
        timing = {"warmup": self.plan.warmup, "seconds": self.plan.seconds}
        try:
            async with self._target(contestant, clients) as target:
                run = await self._generator.run(target, mode, clients=clients, **{**timing, **options})
        except (LoadError, TimeoutError) as error:
            self.say(f"    {contestant.name}: failed: {error!r}")
            return None
        self.say(f"    {contestant.name}: {brief(run)}")
        return run

    @asynccontextmanager
    async def _target(self, contestant: Contestant, clients: int) -> AsyncIterator[Target]:
        if contestant.name == OURS:
            await self.system.rest()
            yield await self.system.target(*contestant.replicas, people=clients)
            return
        cores = SERVER if self._alone else ALL
        async with peer(contestant.name, cores, contestant.processes, contestant.arguments) as target:
            yield target


def medians(runs: list[Run]) -> Run:
    """Field by field, of those that every run has: one in which nothing arrived has no latency."""
    common = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: statistics.median(run[name] for run in runs) for name in common}


SHOWN = (
    ("delivered_per_s", "{:.0f} deliveries/s"),
    ("p50_ms", "p50 {:.1f} ms"),
    ("p99_ms", "p99 {:.1f} ms"),
    ("delivered_ratio", "{:.1%} delivered"),
    ("server_cpu", "server {:.2f} cores"),
    ("server_waited", "waited {:.2f}"),
    ("generator_cpu", "generator {:.2f}"),
    ("kb_per_connection", "{:.1f} KB/connection"),
    ("lost_deliveries", "{:.0f} lost"),
    ("join_max_ms", "all in after {:.0f} ms"),
    ("rss_growth_mb", "grew {:.1f} MB"),
)


def brief(run: Run) -> str:
    """A run in one line."""
    return ", ".join(form.format(run[name]) for name, form in SHOWN if name in run)


type Scenario = Callable[[Lab], Awaitable[Outcome]]
