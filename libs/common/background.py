"""Work that goes on for as long as its component lives."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Endless tasks, begun in a component's `start` and ended together in its `stop`."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def begin(self, *work: Coroutine[Any, Any, Any]) -> None:
        self._tasks += [asyncio.create_task(one) for one in work]

    @property
    def runs(self) -> bool:
        """Whether all of it was begun and none of it has ended."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def end(self) -> None:
        """Cancel everything and wait until it is over."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
