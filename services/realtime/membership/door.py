"""Lets few enter at a time; the rest of a crowd waits at the door, so that nobody inside waits for it."""

import asyncio

from libs.common.errors import UNAVAILABLE, PresenceError

MOST_ENTERING = 32  # on a replica
LONGEST_WAIT = 30.0  # seconds


class Door:
    """`async with door:`, in the order of coming. Raises `unavailable` after `longest_wait` seconds."""

    def __init__(self, most: int = MOST_ENTERING, longest_wait: float = LONGEST_WAIT) -> None:
        self._free = asyncio.Semaphore(most)
        self._longest_wait = longest_wait

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(self._longest_wait):
                await self._free.acquire()
        except TimeoutError:
            raise PresenceError(UNAVAILABLE, "Very many are entering just now.") from None

    async def __aexit__(self, *_: object) -> None:
        self._free.release()
