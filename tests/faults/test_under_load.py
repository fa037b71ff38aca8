"""Redis away for long, a replica frozen, a rolling restart: what was acked arrives once, and presence is exact."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from functools import partial

from deploy.local.servers.redis import Redis
from deploy.local.stack import Stack
from tests.support.people import Rest
from tests.support.visitors import Visitor, agree, visitors
from tests.support.waiting import eventually
from tests.support.whole import process_id

REDIS_AWAY, FROZEN = 30.0, 20.0  # seconds
ACTIVE = 4  # people; all of them together are what one Python process can listen to
PAUSE = 0.25  # seconds between two of one's messages


class Talk:
    """Some talk and move all the time. `said` is what was acknowledged."""

    def __init__(self, people: list[Visitor]) -> None:
        self.people = people
        self.said: list[str] = []
        self.over = asyncio.Event()

    async def _talk(self, person: Visitor) -> None:
        number = 0
        while not self.over.is_set():
            content = f"{person.name} {number}"
            await person.say(content)
            self.said.append(content)
            number += 1
            await self._pause()

    async def _walk(self, person: Visitor) -> None:
        step = 0.0
        while not self.over.is_set():
            step += 1.0
            await person.move(step, 0.0)
            await self._pause()

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), PAUSE)

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """All of it for as long as the block lasts; then everybody has heard everything, once and in order."""
        active = self.people[:ACTIVE]
        tasks = [asyncio.create_task(work) for work in (*map(self._talk, active), *map(self._walk, active))]
        try:
            yield
        finally:
            self.over.set()
            await asyncio.gather(*tasks)
        for person in self.people:
            await eventually(partial(person.has_heard, self.said))
            assert sorted(person.heard) == sorted(self.said)
        orders = {tuple(person.heard) for person in self.people}
        assert len(orders) == 1, "everyone heard the same order"


def replica_urls(stack: Stack, count: int) -> list[str]:
    """Half of them on each replica."""
    ports = [stack.http_port(name) for name in ("r1", "r2")]
    return [f"http://127.0.0.1:{ports[n % 2]}" for n in range(count)]


async def test_redis_away_for_half_a_minute(stack: Stack, rest: Rest, redis_server: Redis) -> None:
    async with visitors(rest, "redis-away", replica_urls(stack, 20)) as people:
        async with Talk(people).going_on():
            await redis_server.stop()
            try:
                await asyncio.sleep(REDIS_AWAY)
            finally:
                await redis_server.start()
            await agree_on_presence(people)
        await agree(people)
        assert sum(person.disconnects for person in people) == 0, "sockets stayed up"


async def test_a_replica_frozen(stack: Stack, rest: Rest) -> None:
    async with visitors(rest, "frozen", replica_urls(stack, 20)) as people:
        elsewhere = people[1::2]
        async with Talk(elsewhere).going_on():
            replica = os.getpgid(process_id(stack, "r1"))
            os.killpg(replica, signal.SIGSTOP)
            try:
                await eventually(lambda: all(person.model.keys() == others(person, elsewhere) for person in elsewhere))
                await asyncio.sleep(FROZEN)
            finally:
                os.killpg(replica, signal.SIGCONT)
        await agree(people)
        heard = elsewhere[0].heard
        for person in people:
            await eventually(partial(person.has_heard, heard))
            assert person.heard == heard


async def test_a_rolling_restart(stack: Stack, rest: Rest) -> None:
    async with visitors(rest, "rolling", [stack.url] * 200) as people:
        async with Talk(people).going_on():
            for name in ("r1", "r2"):
                await stack.stop_one(name)
                try:
                    await eventually(lambda: all(person.inside for person in people))
                finally:
                    await stack.start_one(name)
        await agree(people)
        assert sum(person.disconnects for person in people) >= len(people), "each replica was restarted"


def others(person: Visitor, people: list[Visitor]) -> set[str]:
    return {other.sid for other in people if other is not person}


async def agree_on_presence(people: list[Visitor]) -> None:
    await eventually(lambda: all(person.model.keys() == others(person, people) for person in people))
