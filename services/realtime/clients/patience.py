"""Waits for what is away for a moment, where a client would not ask again by itself."""

import asyncio
from collections.abc import Awaitable, Callable

from libs.common.errors import ErrorCode, PresenceError

PAUSE = 0.5  # seconds between two tries


async def patiently[Answer](
    ask: Callable[[], Awaitable[Answer]], seconds: float, is_worth_it: Callable[[ErrorCode], bool]
) -> Answer:
    """Returns what `ask` gives; asks again for so long while it fails with what is worth it. Raises the last failure.

    A try that has begun is not cut off: it ends by the deadlines of what it asks.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while True:
        try:
            return await ask()
        except PresenceError as error:
            if not is_worth_it(error.kind) or clock() + PAUSE > deadline:
                raise
        await asyncio.sleep(PAUSE)
