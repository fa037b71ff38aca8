"""Logins with several tabs each, all of which refresh at once, over a spaces_auth that is killed again and again.

outcome = await refreshed_under_kills(stack, logins=50, rounds=67)
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from deploy.local.keys import ACCOUNTS
from deploy.local.stack import Stack
from tests.support.people import Rest

TABS = 3
LOST = 0.1  # of the answers are lost on the way
AGAIN_SECONDS = 0.2  # before a tab asks again
LIVES = (0.5, 3.0)  # seconds of spaces_auth between two kills, at least and at most
PATIENCE = 15.0  # seconds for an answer


@dataclass
class Outcome:
    """What became of them. `lost` tells of each login that ended and was not stolen from; `unnoticed` are thefts."""

    refreshes: int = 0
    asked: int = 0  # times, with answers that were lost and refusals that were temporary
    kills: int = 0
    thefts: int = 0
    unnoticed: int = 0
    lost: list[str] = field(default_factory=list)


class Login:
    """One person's, in several tabs that share what they keep, as pages of one origin do."""

    def __init__(self, rest: Rest, tokens: dict[str, Any], outcome: Outcome) -> None:
        self._rest = rest
        self._outcome = outcome
        self.account: str = tokens["account"]
        self.token: str = tokens["token"]
        self.shown: list[str] = [tokens["refresh_token"]]  # the last one is to be shown next

    async def live(self, rounds: int) -> bool:
        """Refreshes so many times; returns whether the login is as good as before."""
        for _ in range(rounds):
            if not await self.refresh():
                return False
        if not await self.is_good():
            self._outcome.lost.append(f"{self.account}: its token is refused")
            return False
        return True

    async def refresh(self) -> bool:
        """Has every tab refresh once; returns whether all were given the same."""
        began = time.monotonic()
        answers = await asyncio.gather(*(self._ask(self.shown[-1]) for _ in range(TABS)))
        self._outcome.refreshes += sum(status == 200 for status, _ in answers)
        given = {str(body.get("refresh_token")) for _, body in answers}
        if len(given) > 1 or any(status != 200 for status, _ in answers):
            took = f"{time.monotonic() - began:.1f} s"
            self._outcome.lost.append(
                f"{self.account}, refresh {len(self.shown)}, {took}: {sorted(status for status, _ in answers)}"
            )
            return False
        self.shown.append(given.pop())
        self.token = random.choice(answers)[1]["token"]
        return True

    async def is_good(self) -> bool:
        return (await self._patiently("GET", "/api/auth/me", None, self.token))[0] == 200

    async def theft_is_noticed(self) -> bool:
        """Shows a token whose successor was used, as its thief would; returns whether everything ended by it."""
        self._outcome.thefts += 1
        stolen, _ = await self._ask(random.choice(self.shown[:-2]))
        owners, _ = await self._ask(self.shown[-1])
        return stolen == owners == 401 and not await self.is_good()

    async def _ask(self, refresh_token: str) -> tuple[int, dict[str, Any]]:
        return await self._patiently("POST", "/api/auth/refresh", {"refresh_token": refresh_token}, None)

    async def _patiently(self, method: str, path: str, body: Any, token: str | None) -> tuple[int, dict[str, Any]]:
        """Asks until there is an answer that will not change; some of the answers are lost."""
        while True:
            seconds = random.uniform(0.001, 0.05) if random.random() < LOST else PATIENCE
            self._outcome.asked += 1
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(seconds):
                    status, answer, _ = await self._rest.ask(method, path, body, token)
                if status in (200, 401):
                    return status, answer
            await asyncio.sleep(AGAIN_SECONDS)


async def refreshed_under_kills(stack: Stack, logins: int, rounds: int) -> Outcome:
    """Has all log in and refresh so many times in every tab, then has all be stolen from once."""
    outcome = Outcome()
    async with Rest(stack.url) as rest:
        people = [Login(rest, await rest.login(ACCOUNTS[number % len(ACCOUNTS)]), outcome) for number in range(logins)]
        async with _killed_again_and_again(stack, outcome):
            kept = await asyncio.gather(*(person.live(rounds) for person in people))
            robbed = [person for person, is_kept in zip(people, kept, strict=True) if is_kept]
            noticed = await asyncio.gather(*(person.theft_is_noticed() for person in robbed))
    outcome.unnoticed = noticed.count(False)
    return outcome


@contextlib.asynccontextmanager
async def _killed_again_and_again(stack: Stack, outcome: Outcome) -> AsyncIterator[None]:
    ending = asyncio.Event()

    async def kill() -> None:
        while not ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), random.uniform(*LIVES))
            await stack.kill("spaces_auth")
            outcome.kills += 1
            await stack.start_one("spaces_auth")

    killing = asyncio.create_task(kill())
    try:
        yield
    finally:
        ending.set()
        await killing
