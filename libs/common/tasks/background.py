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

    def every(self, seconds: float, work: Callable[[], Awaitable[None]], *, at_once: bool = False) -> None:
        """Begin to do `work` again and again, `seconds` after each time; a failure is logged and costs that time.

        The first time is after `seconds` too, unless it is to be `at_once`.
        """
        self.begin(_repeat(seconds, work, 0.0 if at_once else seconds))

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


async def _repeat(seconds: float, work: Callable[[], Awaitable[None]], first: float) -> None:
    await asyncio.sleep(first)
    while True:
        try:
            await work()
        except PresenceError as error:
            _log.warning("will be tried again", work=work.__qualname__, seconds=seconds, error=str(error))
        except Exception:
            _log.exception("failed", work=work.__qualname__)
        await asyncio.sleep(seconds)
