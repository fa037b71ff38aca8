"""Work that goes on for as long as its component lives."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from libs.common.errors import PresenceError

_log = structlog.get_logger(__name__)


class Background:
    """Endless tasks, begun in a component's `start` and ended together in its `stop`."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def begin(self, *work: Coroutine[Any, Any, Any]) -> None:
        self._tasks += [asyncio.create_task(coroutine) for coroutine in work]

    def every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Begin to do `work` again and again, `seconds` after each time; a failure is logged and costs that time."""
        self.begin(_repeat(seconds, work))

    @property
    def runs(self) -> bool:
        """Returns whether every task was begun and none has ended."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def end(self) -> None:
        """Cancel everything and wait until it is over."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


async def _repeat(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except PresenceError as error:
            _log.warning("will be tried again", work=work.__qualname__, seconds=seconds, error=str(error))
        except Exception:
            _log.exception("failed", work=work.__qualname__)
