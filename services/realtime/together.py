"""Questions that are asked at the same moment go together: one call carries them all."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

MOST_AT_ONCE = 32  # items of one call; more would keep everybody else waiting for long


class Together[Key: Hashable, Item, Answer]:
    """One call at a time for a key; what is asked while it is under way goes in the next.

    So an answer was never on its way before its question was put. `ask` gets the items of a key, at most `most`, and
    gives one answer each, in their order; an answer that is an exception is raised where it was asked for, and
    what `ask` itself raises is raised for all.
    """

    def __init__(
        self, ask: Callable[[Key, list[Item]], Awaitable[Sequence[Answer | Exception]]], most: int = MOST_AT_ONCE
    ) -> None:
        self._ask, self._most = ask, most
        self._waiting: dict[Key, list[tuple[Item, asyncio.Future[Answer]]]] = {}
        self._busy: dict[Key, asyncio.Task[Any]] = {}

    async def __call__(self, key: Key, item: Item) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append((item, answer))
        if key not in self._busy:
            self._busy[key] = asyncio.create_task(self._work(key))
        return await answer

    async def _work(self, key: Key) -> None:
        while waiting := self._waiting.pop(key, None):
            batch, later = waiting[: self._most], waiting[self._most :]
            if later:
                self._waiting[key] = later
            await self._settle(key, batch)
        del self._busy[key]  # nothing was awaited since nobody waited

    async def _settle(self, key: Key, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._ask(key, [item for item, _ in batch])
        except Exception as error:
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue  # whoever asked has gone
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
