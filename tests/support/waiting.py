"""Waiting for a condition, never for a time."""

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

POLL_SECONDS = 0.02
PATIENCE = 60.0


async def eventually(ask: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Returns the result of `ask`, a function or a coroutine function, as soon as it is true.

    Raises `AssertionError` with the last answer when late.
    """
    answer: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                asked = ask()
                answer = await asked if isawaitable(asked) else asked
                if answer:
                    return answer
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s; the last answer was {answer!r}") from None


async def line_with(process: asyncio.subprocess.Process, text: bytes, seconds: float = PATIENCE) -> bytes:
    """Returns the next line with `text` that a process writes. Raises `AssertionError` if it ended, `TimeoutError`."""
    assert process.stdout
    async with asyncio.timeout(seconds):
        async for line in process.stdout:
            if text in line:
                return line
    raise AssertionError(f"the process ended without saying {text!r}")
