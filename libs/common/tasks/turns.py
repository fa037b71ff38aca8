"""Lets one at a time of each key do something, so that who asks in numbers takes no more than who asks once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.errors import RATE_LIMITED, PresenceError

LONGEST_WAIT = 2.0  # seconds
MOST_WAITING = 8  # of one key; more are refused at once


class Turns:
    """`async with turns.of(key):`, in the order of coming. Keys that nobody waits for are forgotten."""

    def __init__(self, longest_wait: float = LONGEST_WAIT, most_waiting: int = MOST_WAITING) -> None:
        self._longest_wait = longest_wait
        self._most_waiting = most_waiting
        self._turns: dict[str, asyncio.Lock] = {}
        self._inside: dict[str, int] = {}  # who has the turn or waits for it

    @asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[None]:
        """Waits for the key's turn. Raises `rate_limited` where too many wait, or for too long; for no key, never."""
        if not key:
            yield
            return
        if self._inside.get(key, 0) > self._most_waiting:
            raise _too_many()
        turn = self._turns.setdefault(key, asyncio.Lock())
        self._inside[key] = self._inside.get(key, 0) + 1
        try:
            try:
                async with asyncio.timeout(self._longest_wait):
                    await turn.acquire()
            except TimeoutError:
                raise _too_many() from None
            try:
                yield
            finally:
                turn.release()
        finally:
            self._inside[key] -= 1
            if not self._inside[key]:
                del self._inside[key], self._turns[key]


def _too_many() -> PresenceError:
    return PresenceError(RATE_LIMITED, "Too many searches at once from this address.", {"retry_after": 1})
