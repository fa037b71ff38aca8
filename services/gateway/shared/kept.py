"""Keeps what was asked, from the moment it is asked, and for a second.

What is asked a second time meanwhile waits for the same answer. As everything lives equally long, the first that is in
is the first that goes: by its age, or since the room is full.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from libs.common.bus.base import Written
from libs.common.cache import ACCESS
from libs.common.contracts.registry import Shared

LONGEST = 1.0  # seconds for which an answer is given, from when it was asked for
type Key = tuple[str, Hashable]  # operation and request


@dataclass(eq=False, slots=True)
class Asked:
    """A question and its answer, which may still be on its way. `space` is "" where the question is about none."""

    key: Key
    space: str
    shared: Shared
    until: float  # of the clock
    answer: asyncio.Task[Written]
    size: int = 0

    def is_ended_by(self, what: str) -> bool:
        return what == ACCESS or what.startswith(self.shared.ended_by)


class Kept:
    """`most` answers and `most_bytes` of them; `clock` gives seconds."""

    def __init__(self, most: int, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._clock = clock
        self._by_key: dict[Key, Asked] = {}
        self._by_space: dict[str, set[Asked]] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: Key) -> Asked | None:
        """Returns what was asked less than a second ago, and was not ended since."""
        found = self._by_key.get(key)
        return found if found and self._clock() < found.until else None

    def put(self, key: Key, space: str, shared: Shared, answer: asyncio.Task[Written]) -> Asked:
        """Takes a question that is being asked. Its answer goes again when it is none that all may be told."""
        if key in self._by_key:
            self._remove(self._by_key[key])
        asked = Asked(key, space, shared, self._clock() + LONGEST, answer)
        self._by_key[key] = asked
        self._by_space.setdefault(space, set()).add(asked)
        answer.add_done_callback(lambda task: self._answered(asked, task))
        self._make_room()
        return asked

    def end(self, what: str, space: str | None = None) -> None:
        """Forgets what may be another answer after `what` happened in a space; None is any."""
        spaces = list(self._by_space) if space is None else ["", space]
        for asked in [asked for one in spaces for asked in self._by_space.get(one, ())]:
            if asked.is_ended_by(what):
                self._remove(asked)

    def clear(self) -> None:
        self._by_key.clear()
        self._by_space.clear()
        self.size = 0

    def _answered(self, asked: Asked, answer: asyncio.Task[Written]) -> None:
        failed = answer.cancelled() or answer.exception() is not None
        if self._by_key.get(asked.key) is not asked:
            return
        if failed:
            self._remove(asked)
            return
        asked.size = len(answer.result().json)
        self.size += asked.size
        self._make_room()

    def _make_room(self) -> None:
        now = self._clock()
        while self._by_key:
            first = next(iter(self._by_key.values()))
            if first.until > now and len(self._by_key) <= self._most and self.size <= self._most_bytes:
                return
            self._remove(first)

    def _remove(self, asked: Asked) -> None:
        del self._by_key[asked.key]
        of_space = self._by_space[asked.space]
        of_space.discard(asked)
        if not of_space:
            del self._by_space[asked.space]
        self.size -= asked.size
