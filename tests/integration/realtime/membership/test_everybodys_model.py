"""Snapshot + events = new snapshot: whatever happens, everybody's people and entities are what each did last."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from libs.common.contracts.presence import AframeUpdate, Position
from tests.integration.realtime.people import code_of
from tests.integration.realtime.world import World, running
from tests.support.waiting import eventually

REPLICAS = ("r1", "r2", "r3", "r4")
PEOPLE, MOST_TABS, MOST_ENTITIES = 5, 3, 4
ROUNDS, STEPS = 4, 30
GRACE, PATIENCE = 1.0, 20.0


@dataclass
class Model:
    """What one socket believes: where everybody else is, and `x` of each entity, with the socket that shows it."""

    people: dict[str, float] = field(default_factory=dict)
    entities: dict[str, tuple[str, Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def hear(self, event: str, told: Any) -> None:
        if event == "space-joined":
            self.people = {user["socketId"]: user["position"]["x"] for user in told["users"]}
            self.entities = {e["data"]["id"]: (e["socketId"], e["data"]["x"]) for e in told["entities"]}
        elif event == "user-joined":
            if told["socketId"] in self.people:
                self.faults.append(f"{told['socketId']} announced twice")
            self.people[told["socketId"]] = told["position"]["x"]
        elif event == "user-left":
            self._left(told["socketId"], told.get("successor"))
        elif event == "entity-event":
            self._of_entity(told["name"], told["socketId"], told["data"])
        elif event == "aframe-update" and told["socketId"] in self.people:
            if position := told["entityData"].get("position"):
                self.people[told["socketId"]] = position["x"]
            for entity_id, moved in told["entityData"].get("entities", {}).items():
                self._of_entity("moved", told["socketId"], {"id": entity_id, **moved})

    def _left(self, socket_id: str, successor: str | None) -> None:
        if self.people.pop(socket_id, None) is None:
            self.faults.append(f"{socket_id} left and was not there")
        for entity_id, (owner, x) in list(self.entities.items()):
            if owner == socket_id and successor:
                self.entities[entity_id] = successor, x
            elif owner == socket_id:
                del self.entities[entity_id]

    def _of_entity(self, name: str, socket_id: str, data: dict[str, Any]) -> None:
        entity_id = data["id"]
        if name == "spawn":
            self.entities[entity_id] = socket_id, data["x"]
        elif name == "remove":
            self.entities.pop(entity_id, None)
        elif entity_id in self.entities:
            self.entities[entity_id] = self.entities[entity_id][0], data["x"]


@dataclass
class Tab:
    name: str
    replica: str
    x: float = 0.0


@dataclass
class Person:
    """`tabs` are inside; `dying` are connections that are dead and have not died yet."""

    name: str
    tabs: list[Tab] = field(default_factory=list)
    dying: list[Tab] = field(default_factory=list)
    entities: dict[str, int] = field(default_factory=dict)


class Lives:
    """What people do at random, and what happens to them."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.people = [Person(f"p{number}") for number in range(PEOPLE)]
        self.living, self.away = list(REPLICAS), set[str]()
        self.trace: list[str] = []  # what happened since everybody agreed last
        self._numbers = count(1)
        often: list[Callable[[Person], Awaitable[None]]] = [
            self.spawn,
            self.change,
            self.change,
            self.remove,
            self.move,
        ]
        seldom = [self.open_tab, self.close_tab, self.break_off, self.change_network, self.move_by_pose]
        self.actions = [*often, *often, *seldom]

    async def step(self) -> None:
        if self.random.random() < 0.15:
            event = self.random.choice([self.redis_goes, self.redis_comes, self.freeze])
            self.trace.append(event.__name__)
            await event()
        action, person = self.random.choice(self.actions), self.random.choice(self.people)
        self.trace.append(f"{person.name} {action.__name__}")
        await action(person)

    # People.

    async def open_tab(self, person: Person) -> None:
        if len(person.tabs) < MOST_TABS:
            await self._enter(person)

    async def _enter(self, person: Person) -> None:
        """Enters on a replica that can let somebody in; a client tries until it does."""
        replica = self.random.choice([name for name in self.living if name not in self.away])
        tab = Tab(f"{person.name}t{next(self._numbers)}", replica)
        told = await self.world.join(tab.name, as_name=person.name, replica=replica)
        tab.x = told["you"]["position"]["x"]
        person.tabs.append(tab)
        self.trace.append(f"  {tab.name}@{tab.replica} enters, is at {tab.x}")

    async def close_tab(self, person: Person) -> None:
        if person.tabs:
            tab = person.tabs.pop(self.random.randrange(len(person.tabs)))
            await self.world.leave(tab.name)
            if not person.tabs and not person.dying:
                person.entities.clear()

    async def break_off(self, person: Person) -> None:
        """The connection breaks, and the client comes back; of all tabs at once where it is the network that broke."""
        broken = person.tabs[: self.random.randint(0, len(person.tabs))]
        for tab in broken:
            person.tabs.remove(tab)
            await self.world.drop(tab.name)
        for _ in broken:
            await self._enter(person)

    async def change_network(self, person: Person) -> None:
        if person.tabs:
            person.dying.append(person.tabs.pop(0))
            await self._enter(person)

    async def move(self, person: Person) -> None:
        if person.tabs:
            tab = self.random.choice(person.tabs)
            tab.x = float(next(self._numbers))
            self.world.move(tab.name, AframeUpdate(Position(tab.x)))

    async def spawn(self, person: Person) -> None:
        await self._tell(person, "spawn", f"{person.name}e{self.random.randrange(MOST_ENTITIES)}")

    async def change(self, person: Person) -> None:
        if person.entities:
            await self._tell(person, "moved", self.random.choice(list(person.entities)))

    async def remove(self, person: Person) -> None:
        if person.entities:
            await self._tell(person, "remove", self.random.choice(list(person.entities)))

    async def _tell(self, person: Person, event: str, entity_id: str) -> None:
        if not person.tabs:
            return
        tab, x = self.random.choice(person.tabs), next(self._numbers)
        self.world.flush(tab.replica)
        if event != "spawn" and entity_id not in self.model(tab.name).entities:
            return  # it has yet to hear of it
        code = await code_of(self.world.tell_of(tab.name, event, entity_id, x=x))
        self.trace.append(f"  {tab.name}@{tab.replica} {event} {entity_id} x={x}: {code}")
        if code != "ok":
            return  # another replica knows of it, and this one could not hear
        told = {"name": event, "socketId": self.world.sid(tab.name), "data": {"id": entity_id, "x": x}}
        self.world.believed_by(tab.name).append(("entity-event", told))  # nobody hears themselves, and everybody knows
        if event == "remove":
            person.entities.pop(entity_id, None)
        else:
            person.entities[entity_id] = x

    async def move_by_pose(self, person: Person) -> None:
        """Not while something is held up: a pose does not say when it was, and nobody could tell which was later."""
        if len(person.tabs) == 1 and not person.dying and person.entities and not self.away:
            entity_id, x = self.random.choice(list(person.entities)), next(self._numbers)
            person.entities[entity_id] = x
            told = {"name": "moved", "socketId": "", "data": {"id": entity_id, "x": x}}
            self.world.believed_by(person.tabs[0].name).append(("entity-event", told))
            self.world.move(person.tabs[0].name, AframeUpdate(entities={entity_id: {"x": x}}))
            self.trace.append(f"  {person.tabs[0].name}@{person.tabs[0].replica} pose {entity_id} x={x}")

    # The machines.

    async def redis_goes(self) -> None:
        here = [name for name in self.living if name not in self.away]
        if len(here) > 1:
            replica = self.random.choice(here)
            self.away.add(replica)
            self.trace.append(f"  away {replica}")
            await self.world.redis_goes_away(replica)

    async def redis_comes(self) -> None:
        if self.away:
            replica = self.random.choice(sorted(self.away))
            self.trace.append(f"  back {replica}")
            await self.world.redis_comes_back(replica)
            self.away.discard(replica)

    async def freeze(self) -> None:
        """A replica misses its lease, is swept, and goes on."""
        here = [name for name in self.living if name not in self.away]
        if len(here) > 1:
            frozen, other = self.random.sample(here, 2)
            await self.world.lose_lease(frozen)
            await self.world.sweep(other)
            await self.world.beat(frozen)

    async def kill(self) -> None:
        """A replica dies; its people come back elsewhere, and what is left of it is swept."""
        here = [name for name in self.living if name not in self.away]
        if len(here) < 2:
            return
        dead = self.random.choice(here)
        await self.world.told_all(dead)
        self.living.remove(dead)
        await self.world.die(dead)
        for person in self.people:
            lost = [tab for tab in person.tabs if tab.replica == dead]
            person.tabs = [tab for tab in person.tabs if tab.replica != dead]
            person.dying = [tab for tab in person.dying if tab.replica != dead]
            for _ in lost:
                await self._enter(person)
        await self.world.lose_lease(dead)
        await self.world.sweep(self.random.choice([name for name in self.living if name not in self.away]))

    async def calm(self) -> None:
        """Everything works again, and dead connections have died."""
        while self.away:
            await self.redis_comes()
        for person in self.people:
            for tab in person.dying:
                await self.world.drop(tab.name)
            person.dying.clear()
            if not person.tabs:
                person.entities.clear()

    # What is true, and who believes what.

    def disagreement(self) -> str:
        """Why somebody's model is not what everybody did last; empty when all are."""
        tabs = {self.world.sid(tab.name): tab for person in self.people for tab in person.tabs}
        owners = {self.world.sid(tab.name): person.name for person in self.people for tab in person.tabs}
        entities = {(name, p.name, x) for p in self.people for name, x in p.entities.items()}
        for sid, tab in tabs.items():
            model = self.model(tab.name)
            people = {other: tabs[other].x for other in tabs if other != sid}
            if model.people != people:
                return f"{tab.name} sees {model.people}, not {people}"
            believed = {(name, owners.get(owner, owner), x) for name, (owner, x) in model.entities.items()}
            if believed != entities:
                return f"{tab.name} sees {believed - entities}, not {entities - believed}"
            if model.faults:
                return f"{tab.name}: {model.faults}"
        return ""

    def model(self, name: str) -> Model:
        model = Model()
        for event, told in self.world.believed_by(name):
            model.hear(event, told)
        return model


@pytest.mark.parametrize("seed", range(5))
async def test_everybodys_people_and_entities_are_what_each_did_last(redis_url: str, seed: int) -> None:
    async with running(redis_url, REPLICAS, grace=GRACE) as world:
        lives = Lives(world, seed)
        for person in lives.people:
            await lives.open_tab(person)
        for round_ in range(ROUNDS):
            for _ in range(STEPS):
                await lives.step()
            if round_ % 2:
                await lives.kill()
            await lives.calm()
            try:
                await eventually(lambda: not lives.disagreement(), PATIENCE)
            except AssertionError:
                raise AssertionError(f"{lives.disagreement()} after {lives.trace}") from None
            lives.trace.clear()
        for person in lives.people:  # newcomers are shown the same
            await lives.open_tab(person)
        await eventually(lambda: not lives.disagreement(), PATIENCE)
