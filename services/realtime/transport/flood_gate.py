"""Counts what a connection sends before anything of it is read, and ends one that keeps sending too much.

The gate stands in the loop that receives, so a connection over its budget is simply not read until the second is over:
its bytes wait in its own TCP window and cost nobody anything. A client that is merely hasty loses nothing by that.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

MOST_PACKETS = 400  # a second, of one connection; signals have a smaller budget of their own, which is told in acks
MOST_BYTES = 512 * 1024  # a second, of one connection
MOST_SECONDS = 5  # in a row, in each of which the budget was used up
PACKETS_A_TURN = 8  # after so many the loop serves others
CLOCK_STEP = 0.002  # seconds; a sleep may end that much early


@dataclass(slots=True)
class FloodGate:
    """The budget of one connection. `factor` multiplies it; 0 lets everything through. `clock` gives seconds."""

    factor: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    warn: Callable[[], None] = lambda: None  # called once in each second in which the budget was used up
    _second: int = -1
    _packets: int = 0
    _bytes: int = 0
    _overdrawn: int = 0  # seconds in a row
    _overdrawn_in: int = -1  # the last of them
    _in_a_turn: int = 0

    async def let_in(self, size: int, packets: int = 1) -> bool:
        """Counts packets of `size` bytes in all; waits while the budget of the second is used up.

        Returns False for a connection that used it up in `MOST_SECONDS` seconds in a row, and is to be ended. Several
        requests of one connection may be here at once: a second counts once.
        """
        self._in_a_turn += packets
        if self._in_a_turn >= PACKETS_A_TURN:
            self._in_a_turn = 0
            await self.sleep(0)
        if self.factor <= 0:
            return True
        self._begin_second()
        self._packets += packets
        self._bytes += size
        if not self._is_overdrawn():
            return True
        if self._overdrawn_in != self._second:
            self._overdrawn_in = self._second
            self._overdrawn += 1
            if self._overdrawn < MOST_SECONDS:
                self.warn()
        if self._overdrawn >= MOST_SECONDS:
            return False
        await self.sleep(self._second + 1 - self.clock() + CLOCK_STEP)
        return True

    def _begin_second(self) -> None:
        second = int(self.clock())
        if second == self._second:
            return
        if second > self._second + 1 or not self._is_overdrawn():
            self._overdrawn = 0
        self._second, self._packets, self._bytes = second, 0, 0

    def _is_overdrawn(self) -> bool:
        return self._packets > MOST_PACKETS * self.factor or self._bytes > MOST_BYTES * self.factor
