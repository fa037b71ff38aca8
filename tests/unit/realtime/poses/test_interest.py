"""Area of interest, as its readers see it: near ones at once, far ones soon, whoever is out of range named."""

import random
from collections.abc import Iterator
from typing import Any, cast

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.contracts.presence import AframeUpdate, Position, Rotation
from services.realtime.poses.encoding import Pose
from services.realtime.poses.grid import CELL, cell_of
from services.realtime.poses.interest import FAR_TICKS, MOST_NEAR, RANGE, Interest
from services.realtime.poses.state import PoseState
from tests.support.quick import examples
from tests.support.sockets import Reader


class Crowd:
    def __init__(self, count: int, spread: float, seed: int) -> None:
        self.random, self.spread, self.room = random.Random(seed), spread, PoseState()
        self.readers: dict[str, Reader] = {}
        for _ in range(count):
            self.enter()

    def enter(self) -> None:
        sid = f"s{self.room.tick}-{len(self.readers)}"
        self.readers[sid] = Reader(sid)
        self.place(sid, self.somewhere())
        self.room.behind.add(sid)

    def somewhere(self) -> Position:
        """Around the middle of a cell."""
        x, z = (self.random.uniform(-self.spread, self.spread) + CELL / 2 for _ in range(2))
        return Position(round(x, 3), 1.6, round(z, 3))

    def place(self, sid: str, position: Position) -> None:
        update = AframeUpdate(position, Rotation())
        self.room.set(Pose(sid, None, msgspec.json.encode(update), update))

    def leave(self, sid: str) -> None:
        del self.readers[sid]
        self.room.forget(sid)

    def tick(self) -> None:
        if not self.room.has_news:
            return
        news = self.room.next_tick()
        interest = Interest(self.room, news, "T")
        for sid, reader in self.readers.items():
            behind = sid in self.room.behind
            self.room.behind.discard(sid)
            place = reader.client.place
            assert place is not None
            interest.variants(place, behind=behind).send(reader.client)
            reader.read()

    def latest(self, sid: str) -> Any:
        position = cast("Position", self.room.latest[sid].position)
        return position.x, position.y, position.z

    def rings(self, one: str, other: str) -> int:
        (i, j), (k, m) = (cell_of(cast("Position", self.room.latest[sid].position)) for sid in (one, other))
        return max(abs(i - k), abs(j - m))

    def pairs(self) -> Iterator[tuple[str, Reader, str]]:
        return ((sid, reader, other) for sid, reader in self.readers.items() for other in self.readers if other != sid)


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(2, MOST_NEAR // 2), st.sampled_from([20.0, 150.0, 600.0]), st.integers(0, 10_000))
def test_near_ones_are_exact_and_after_a_while_everyone_in_range_is(count: int, spread: float, seed: int) -> None:
    crowd = Crowd(count, spread, seed)
    for _ in range(3 * FAR_TICKS):
        for sid in crowd.random.sample(sorted(crowd.readers), len(crowd.readers) // 2):
            crowd.place(sid, crowd.somewhere())
        if len(crowd.readers) > 2 and crowd.random.random() < 0.05:
            crowd.leave(crowd.random.choice(sorted(crowd.readers)))
        if len(crowd.readers) < MOST_NEAR and crowd.random.random() < 0.1:
            crowd.enter()
        crowd.tick()
        for sid, reader, other in crowd.pairs():
            if crowd.rings(sid, other) <= 1:
                assert reader.known[other] == crowd.latest(other)
    for _ in range(2 * FAR_TICKS + 1):
        crowd.tick()
    for sid, reader, other in crowd.pairs():
        if crowd.rings(sid, other) <= RANGE:
            assert reader.known[other] == crowd.latest(other)
        else:
            assert other not in reader.known
    assert all(reader.known.keys() <= crowd.readers.keys() for reader in crowd.readers.values())
    assert not crowd.room.has_news


def test_of_too_many_near_ones_only_some_are_told_at_each_tick() -> None:
    crowd = Crowd(3 * MOST_NEAR, CELL / 4, 1)
    crowd.tick()
    me, reader = next(iter(crowd.readers.items()))
    told = []
    for _ in range(2 * FAR_TICKS):
        for sid in crowd.readers:
            crowd.place(sid, crowd.somewhere())
        crowd.tick()
        told.append(sum(reader.known[sid] == crowd.latest(sid) for sid in crowd.readers if sid != me))
    assert min(told) >= MOST_NEAR - 1
    assert sum(count > 2 * MOST_NEAR for count in told) >= 2  # its turns, on which it is told of everyone
    assert sum(count <= MOST_NEAR for count in told) > FAR_TICKS
