"""Snapshot + events = new snapshot: random lives on two replicas, which are killed meanwhile."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from deploy.local.stack import Stack
from tests.support.people import Rest
from tests.support.visitors import Visitor, agree, visitors

STEPS, PEOPLE = 60, 12


class Life:
    """What people do at random; each action leaves everyone else's model to be right soon."""

    def __init__(self, people: list[Visitor], seed: int) -> None:
        self.people, self.random, self.said = people, random.Random(seed), 0
        self.actions: list[Callable[[Visitor], Awaitable[None]]] = [
            self.move, self.move, self.say, self.toggle, self.enter_again, self.break_off,
        ]  # fmt: skip

    async def step(self) -> None:
        """A few at the same moment."""
        chosen = self.random.sample(self.people, 3)
        await asyncio.gather(*(self.random.choice(self.actions)(person) for person in chosen))

    async def move(self, person: Visitor) -> None:
        await person.move(self.random.uniform(-50, 50), self.random.uniform(-50, 50))

    async def say(self, person: Visitor) -> None:
        if person.inside:
            self.said += 1
            await person.say(f"{person.name} {self.said}")

    async def toggle(self, person: Visitor) -> None:
        await (person.leave() if person.inside else person.enter())

    async def enter_again(self, person: Visitor) -> None:
        if person.inside:
            await person.enter()

    async def break_off(self, person: Visitor) -> None:
        if person.sid:
            await person.break_off()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_everybodys_model_is_the_room_whatever_happens(stack: Stack, rest: Rest, seed: int) -> None:
    urls = [f"http://127.0.0.1:{stack.http_port(name)}" for name in ("r1", "r2")]
    async with visitors(rest, f"lives-{seed}", [urls[n % 2] for n in range(PEOPLE)]) as people:
        life = Life(people, seed)
        for step in range(STEPS):
            await life.step()
            if step % 20 == 10:
                replica = life.random.choice(("r1", "r2"))
                await stack.kill(replica)
                await asyncio.gather(life.step(), stack.start_one(replica))
            if step % 20 == 19:
                await agree(people)
        async with visitors(rest, f"lives-{seed}", urls) as newcomers:
            await agree([*people, *newcomers])
