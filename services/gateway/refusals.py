"""Answers a caller who goes on asking after `rate_limited` late, so that its refusals cost others nothing.

Whoever waits for an answer before it asks again then asks as often as it has connections, in `HOLD_SECONDS`. Others of
its address are held up by nothing but refusals of their own.
"""

import asyncio
from collections.abc import Awaitable, Callable

from libs.common.contracts.registry import Limit
from libs.common.edge.limits import LimitHere
from libs.common.edge.under_way import UnderWay

PROMPT = Limit(20, 1, per_address=True)  # refusals that an address hears of at once, a second
HOLD_SECONDS = 1.0
MOST_HELD = 256  # refusals of one address that wait; each is a request that we keep


class Refusals:
    """With `hold` false, where limits are off, every refusal is prompt."""

    def __init__(self, *, hold: bool = True, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._prompt = LimitHere(PROMPT, 1.0 if hold else 0.0)
        self._sleep = sleep
        self._held = UnderWay()

    async def hold(self, address: str) -> None:
        """Waits before one more refusal to an address is told."""
        if not self._prompt.spend(address).exceeded or self._held.of(address) >= MOST_HELD:
            return
        with self._held.one(address):
            await self._sleep(HOLD_SECONDS)
