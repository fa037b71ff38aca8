"""How long until everything is right again?  `python -m bench.recovery [--rounds 3] [SCENARIO ...]`

Breaks the complete stack, two replicas behind Caddy, and times what its clients see: a replica killed, both restarted
one after the other, a permission taken away at the primary, Redis away for half a minute, services restarted in every
order of two and all at once. Clients connect again by themselves, when socket.io-client would. Writes
`results/recovery.md` and `results/recovery.json`.
"""

import argparse
import asyncio
import itertools
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import aio_pika
import aiohttp
import asyncpg
import msgspec

from bench import machine
from bench.crowd import Person, exact
from deploy.local.ports import free_port
from deploy.local.stack import SERVICES, Stack
from libs.common.bus.topology import EVENTS_EXCHANGE, event_queue
from tests.support.crowd import Crowd, settled_crowd
from tests.support.people import OPERATOR, Rest
from tests.support.waiting import eventually

RESULTS = Path(__file__).with_name("results")
SYNC_SECONDS = 10.0  # from one sync cycle to the next, so that a round does not take a minute
LEASE_SECONDS = 5.0  # the default
REDIS_AWAY_SECONDS = 30.0
PATIENCE = 90.0
REPLICAS = ("r1", "r2")
WORD = "said while Redis was away"
DOCUMENT = ("document", "123")  # bob's and private; alice may comment
REVOKE = "UPDATE collaboration_permissions SET user_account = $1 WHERE document_id = 123 AND user_account = $2"


EXPLANATION = f"""\
Written by `python -m bench.recovery`; {{}} rounds. Seconds, as clients see them; a goal is for the worst. Leases are
{LEASE_SECONDS:g} s. Clients connect again as socket.io-client does: after 0.5 to 1.5 s, and twice that after each
failure, up to 5 s. People are in one space, half on each replica, and all share the machine with the system."""


@dataclass
class Figure:
    """`samples` are in seconds; `goal` is for the worst of them."""

    name: str
    goal: float | None = None
    why: str = ""  # the goal
    samples: list[float] = field(default_factory=list)

    @property
    def worst(self) -> float:
        return max(self.samples)

    @property
    def p99(self) -> float | None:
        return quantiles(self.samples, n=100, method="inclusive")[98] if len(self.samples) >= 100 else None

    def row(self) -> str:
        met = "" if self.goal is None else "yes" if self.worst <= self.goal else "**no**"
        goal = f"{self.goal:g} ({self.why})" if self.goal is not None else ""
        p99 = f"{self.p99:.2f}" if self.p99 is not None else ""
        times = f"{median(self.samples):.2f} | {p99} | {self.worst:.2f}"
        return f"| {self.name} | {len(self.samples)} | {times} | {goal} | {met} |"


class Stage:
    """The running stack, with tokens for as many as were ever asked for."""

    def __init__(self, stack: Stack, rest: Rest, http: aiohttp.ClientSession) -> None:
        self.stack = stack
        self.rest = rest
        self.http = http
        self.faults: list[str] = []
        self._tokens: list[str] = []
        self._spaces = itertools.count(1)

    @asynccontextmanager
    async def crowd(self, count: int) -> AsyncIterator[list[Person]]:
        """So many guests in a new space."""
        space = ("event", f"recovery-{next(self._spaces)}")
        async with self.entered(space, await self.tokens(count)) as people:
            yield people

    async def tokens(self, count: int) -> list[str]:
        """Those of so many guests."""
        while len(self._tokens) < count:
            self._tokens.append((await self.rest.post("/api/auth/guest", {}))["token"])
        return self._tokens[:count]

    @asynccontextmanager
    async def entered(self, space: tuple[str, str], tokens: Sequence[str]) -> AsyncIterator[list[Person]]:
        """People who are in the space and all know of each other; when they come back it is through Caddy."""
        people = self.people(space, tokens)
        async with living(people):
            await eventually(lambda: exact(people), PATIENCE)
            for person in people:
                person.url = self.stack.url
            yield people
        self.faults += itertools.chain.from_iterable(person.faults for person in people)

    def people(self, space: tuple[str, str], tokens: Sequence[str]) -> list[Person]:
        """One a token, in turn on the replicas; not connected yet."""
        return [
            Person(self.http, f"person {number}", token, space, self.url_of(REPLICAS[number % 2]))
            for number, token in enumerate(tokens)
        ]

    def url_of(self, replica: str) -> str:
        return f"http://127.0.0.1:{self.stack.http_port(replica)}"


@asynccontextmanager
async def living(people: list[Person]) -> AsyncIterator[None]:
    for person in people:
        person.begin()
    try:
        yield
    finally:
        await asyncio.gather(*(person.end() for person in people))


async def seconds_until(began: float, right: Callable[[], bool]) -> float:
    """From `began` until it is right, to some 20 ms."""
    await eventually(right, PATIENCE)
    return time.monotonic() - began


# A replica killed.


async def killed(stage: Stage, rounds: int) -> list[Figure]:
    goal = LEASE_SECONDS + 2.0
    ghosts = Figure("replica killed, its 50 of 100 stay away: the others know", goal, "lease + 2 s")
    back = Figure("replica killed, its 50 of 100 come back: everybody's model exact")
    returns = Figure("the same: one's socket lost until inside again", 5.0, "back within 5 s")
    for _ in range(rounds):
        ghosts.samples.append(await ghosts_of_a_killed(stage))
        seconds, away = await return_of_a_killed(stage)
        back.samples.append(seconds)
        returns.samples += away
    return [ghosts, back, returns]


async def ghosts_of_a_killed(stage: Stage) -> float:
    async with stage.crowd(100) as people:
        dead, alive = people[::2], people[1::2]
        for person in dead:
            person.comes_back = False
        try:
            began = time.monotonic()
            await stage.stack.kill("r1")
            return await seconds_until(began, lambda: exact(alive))
        finally:
            await stage.stack.start_one("r1")


async def return_of_a_killed(stage: Stage) -> tuple[float, list[float]]:
    async with stage.crowd(100) as people:
        try:
            began = time.monotonic()
            await stage.stack.kill("r1")
            seconds = await seconds_until(began, lambda: exact(people) and all(p.returns for p in people[::2]))
        finally:
            await stage.stack.start_one("r1")
        return seconds, away_times(people)


# Both restarted, one after the other.


async def rolling(stage: Stage, rounds: int) -> list[Figure]:
    returns = Figure("rolling restart, 200 people: one's socket lost until inside again", 5.0, "back within 5 s")
    right = Figure("the same: the second replica is up again until everybody's model is exact")
    for _ in range(rounds):
        async with stage.crowd(200) as people:
            for replica in REPLICAS:
                await stage.stack.stop_one(replica)
                await stage.stack.start_one(replica)
            right.samples.append(await seconds_until(time.monotonic(), lambda: exact(people)))
            returns.samples += away_times(people)
    return [returns, right]


def away_times(people: list[Person]) -> list[float]:
    return list(itertools.chain.from_iterable(person.returns for person in people))


# A permission taken away at the primary.


async def revoked(stage: Stage, rounds: int) -> list[Figure]:
    goal, why = SYNC_SECONDS + 5.0, f"sync cycle of {SYNC_SECONDS:g} s + 5 s"
    told = Figure("permission gone at the primary: out of the space, on both replicas", goal, why)
    lost = Figure("the same, and no replica hears of it", goal, why)
    for number in range(rounds):
        phase = (number + random.random()) / rounds * SYNC_SECONDS
        told.samples.append(await ejected_after(stage, phase))
        async with events_lost(stage):
            lost.samples.append(await ejected_after(stage, phase))
    return [told, lost]


async def ejected_after(stage: Stage, phase: float) -> float:
    """`phase` seconds after a sync, the permission goes; the time until alice is out, wherever she is."""
    primary = await asyncpg.connect(stage.stack.settings["PRESENCE_PRIMARY_URL"])
    alice, bob = await stage.rest.token("alice"), await stage.rest.token("bob")
    try:
        async with stage.entered(DOCUMENT, (alice, alice, bob, bob)) as people:
            going, staying = people[:2], people[2:]
            await asyncio.sleep(phase)
            began = time.monotonic()
            await primary.execute(REVOKE, "nobody", "alice")
            await eventually(lambda: all(person.kicked_at for person in going) and exact(staying), PATIENCE)
            return max(person.kicked_at or 0.0 for person in going) - began
    finally:
        await primary.execute(REVOKE, "alice", "nobody")
        await primary.close()
        await stage.rest.post("/api/admin/sync", {}, OPERATOR)


@asynccontextmanager
async def events_lost(stage: Stage) -> AsyncIterator[None]:
    """Events published meanwhile reach every service but realtime."""
    connection = await aio_pika.connect(stage.stack.settings["PRESENCE_AMQP_URL"])
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(event_queue("realtime"), ensure=False)
        await queue.unbind(EVENTS_EXCHANGE, "#")
        try:
            yield
        finally:
            await queue.bind(EVENTS_EXCHANGE, "#")


# Redis away.


async def redis(stage: Stage, rounds: int) -> list[Figure]:
    """While it is away some go and somebody speaks; the others must know when it is back."""
    right = Figure("Redis back after 30 s, in which 4 of 40 left: everybody's model exact, newcomers' too")
    said = Figure("the same: what was said meanwhile is heard on both replicas")
    for _ in range(rounds):
        seconds, seconds_of_word = await redis_back(stage)
        right.samples.append(seconds)
        said.samples.append(seconds_of_word)
    return [right, said]


async def redis_back(stage: Stage) -> tuple[float, float]:
    async with stage.crowd(40) as people:
        went, stayed = people[:4], people[4:]
        began = await without_redis(stage, went, stayed[0])
        heard = asyncio.create_task(seconds_until(began, lambda: all(WORD in one.heard for one in stayed)))
        newcomers = stage.people(stayed[0].space, [person.token for person in went])
        async with living(newcomers):
            right = await seconds_until(began, lambda: exact([*stayed, *newcomers]))
        return right, await heard


async def without_redis(stage: Stage, going: list[Person], speaker: Person) -> float:
    """Some go while it is away, and one speaks; the moment at which it was started again."""
    await stage.stack.stop_one("redis")
    try:
        await asyncio.sleep(REDIS_AWAY_SECONDS / 2)
        await asyncio.gather(*(person.end() for person in going))
        await asyncio.sleep(REDIS_AWAY_SECONDS / 2)
        await speaker.say(WORD)
    finally:
        began = time.monotonic()
        await stage.stack.start_one("redis")
    return began


# Every service restarted, in every order of two, and all at once.

TOUCHED = ("r1", "r2", "gateway", "spaces_auth", "chat")  # services whose absence a person in a space can feel
AUTH_AWAY_SECONDS = 30.0
BACK = 10.0, "10 s after all are ready"


async def restarted(stage: Stage, rounds: int) -> list[Figure]:
    """200 people on socket.io-client itself, with tokens; from the moment at which all services are ready."""
    alone = Figure(f"each of {len(SERVICES)} services restarted alone: 200 stock clients inside, models exact", *BACK)
    pairs = Figure(f"each 2 of {len(TOUCHED)} services killed, started in either order: the same", *BACK)
    all_at_once = Figure("all services killed, started at once: the same", *BACK)
    orphaned = Figure("spaces_auth away for 30 s, both replicas restarted meanwhile: the same", *BACK)
    async with settled_crowd(stage.stack.url, await stage.tokens(200), ("event", "recovery-restarts")) as people:
        for _ in range(rounds):
            for name in SERVICES:
                alone.samples.append(await back_after(stage, people, [name]))
            for first, second in itertools.permutations(TOUCHED, 2):
                pairs.samples.append(await back_after(stage, people, [first], [second]))
            all_at_once.samples.append(await back_after(stage, people, list(SERVICES)))
            orphaned.samples.append(await back_after_spaces_auth(stage, people))
        seen = await people.picture()
    stage.faults += [*seen.faults, *(f"refused: {refusal}" for refusal in seen.refusals)]
    return [alone, pairs, all_at_once, orphaned]


async def back_after(stage: Stage, people: Crowd, *groups: Sequence[str]) -> float:
    """Kills all of them; then starts a group at once, and the next when it is ready."""
    await asyncio.gather(*(stage.stack.kill(name) for group in groups for name in group))
    for group in groups:
        await asyncio.gather(*(stage.stack.start_one(name) for name in group))
    return await seconds_until_right(people)


async def back_after_spaces_auth(stage: Stage, people: Crowd) -> float:
    await stage.stack.kill("spaces_auth")
    began = time.monotonic()
    for replica in REPLICAS:
        await stage.stack.kill(replica)
        await stage.stack.start_one(replica)
    await asyncio.sleep(began + AUTH_AWAY_SECONDS - time.monotonic())
    await stage.stack.start_one("spaces_auth")
    return await seconds_until_right(people)


async def seconds_until_right(people: Crowd) -> float:
    began = time.monotonic()
    await eventually(people.are_right, PATIENCE)
    return time.monotonic() - began


SCENARIOS: dict[str, Callable[[Stage, int], Awaitable[list[Figure]]]] = {
    "killed": killed,
    "rolling": rolling,
    "revoked": revoked,
    "redis": redis,
    "restarted": restarted,
}


async def measure(names: list[str], rounds: int) -> tuple[list[Figure], list[str]]:
    """The figures, and whatever a client was told that must never be said."""
    environment = {
        **os.environ, "PRESENCE_RATE_LIMIT_FACTOR": "0", "PRESENCE_SYNC_INTERVAL_SECONDS": f"{SYNC_SECONDS:g}",
        "PRESENCE_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    }  # fmt: skip
    stack = Stack(Path(tempfile.mkdtemp(prefix="presence-recovery-")), public_port=free_port(), environ=environment)
    figures: list[Figure] = []
    try:
        await stack.start()
        async with Rest(stack.url) as rest, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            stage = Stage(stack, rest, http)
            for name in names:
                for figure in await SCENARIOS[name](stage, rounds):
                    figures.append(figure)
                    print(figure.row(), flush=True)
    finally:
        await stack.stop()
        stack.place.remove()
    return figures, stage.faults


def save(figures: list[Figure], faults: list[str], rounds: int) -> None:
    where = machine.description()
    content = {"machine": where, "rounds": rounds, "figures": figures, "faults": faults}
    (RESULTS / "recovery.json").write_bytes(msgspec.json.encode(content) + b"\n")
    lines = ["# How long until everything is right again", ""]
    lines += [f"- {name}: {value}" for name, value in where.items()]
    lines += ["", EXPLANATION.format(rounds)]
    lines += ["", "| figure | samples | median | p99 | worst | goal | met |", "|---|---|---|---|---|---|---|"]
    lines += [figure.row() for figure in figures]
    lines += ["", f"Told twice, or of somebody unknown: {len(faults)} times.", ""]
    (RESULTS / "recovery.md").write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.recovery", description="Break the stack and time its recovery.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of: {' '.join(SCENARIOS)}; default all")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    machine.raise_file_limit()
    figures, faults = asyncio.run(measure(chosen.scenarios or list(SCENARIOS), chosen.rounds))
    if not chosen.scenarios:
        save(figures, faults, chosen.rounds)
    print(*faults, sep="\n")


if __name__ == "__main__":
    main()
