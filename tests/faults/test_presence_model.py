"""Snapshot + events = new snapshot: random lives on two replicas, which are killed meanwhile."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from deploy.local.stack import Stack
from tests.support.people import Rest
from tests.support.visitors import Visitor, agree, visitors
from tests.support.waiting import eventually

STEPS, TABS_OF_ALL, TABS, ENTITIES = 60, 12, 2, 3


class Life:
    """What people do at random, each on some tabs; each action leaves everyone else's model to be right soon."""

    def __init__(self, people: list[Visitor], seed: int) -> None:
        self.people, self.random, self.said = people, random.Random(seed), 0
        self.made: dict[str, int] = {}  # `x` of each entity, as its owner said last
        self.actions: list[Callable[[Visitor], Awaitable[None]]] = [
            self.move, self.move, self.say, self.toggle, self.enter_again, self.break_off, self.make, self.make,
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

    async def make(self, person: Visitor) -> None:
        """Spawns, changes or removes; it may be lost with the replica that heard of it."""
        if person.inside:
            self.said += 1
            event = self.random.choice(["spawn", "spawn", "moved", "remove"])
            await person.tell_of(event, self.random.choice(self.entities_of(person)), self.said)

    def entities_of(self, person: Visitor) -> list[str]:
        return [f"{person.token[-8:]}-{number}" for number in range(ENTITIES)]

    async def make_last(self) -> None:
        """Everybody who is inside says of everything of theirs what it is to be in the end."""
        self.made = {}
        for person in [person for person in self.people if person.inside]:
            for entity in self.entities_of(person):
                self.said += 1
                event = self.random.choice(["spawn", "remove"])
                assert await person.tell_of(event, entity, self.said), person.refusal
                self.made[entity] = self.said
                if event == "remove":
                    del self.made[entity]

    def sees_what_was_made(self, person: Visitor) -> bool:
        return {entity: x for entity, (_, x) in person.entities.items()} == self.made

    async def agree(self, more: list[Visitor] | None = None) -> None:
        """Waits until everybody's model of people and entities is right."""
        await self.settle(more)
        inside = [person for person in [*self.people, *(more or [])] if person.inside]
        await eventually(lambda: all(map(self.sees_what_was_made, inside)))

    async def settle(self, more: list[Visitor] | None = None) -> None:
        """Waits until everybody who wants to be inside is, and everybody's model of people is right."""
        people = [*self.people, *(more or [])]
        await eventually(lambda: all(person.settled for person in people))
        await agree(people)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_everybodys_model_is_the_room_whatever_happens(stack: Stack, rest: Rest, seed: int) -> None:
    urls = [f"http://127.0.0.1:{stack.http_port(name)}" for name in ("r1", "r2")]
    async with visitors(rest, f"lives-{seed}", [urls[n % 2] for n in range(TABS_OF_ALL)], TABS) as people:
        life = Life(people, seed)
        for step in range(STEPS):
            await life.step()
            if step % 20 == 10:
                replica = life.random.choice(("r1", "r2"))
                await stack.kill(replica)
                await asyncio.gather(life.step(), stack.start_one(replica))
            if step % 20 == 19:
                await life.settle()
                await life.make_last()
                await life.agree()
        async with visitors(rest, f"lives-{seed}", urls) as newcomers:
            await life.agree(newcomers)
            leaving = [person for person in people if person.inside]
            words = {f"last word {number}": person for number, person in enumerate(leaving)}
            await asyncio.gather(*(person.close_saying(word) for word, person in words.items()))
            for newcomer in newcomers:
                await eventually(partial(newcomer.has_heard, words))
