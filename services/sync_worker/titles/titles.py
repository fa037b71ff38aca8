"""Fetches from Hive what posts are called and show, which the primary lacks. Cycles never wait for it.

Posts that were never asked for come first, the newest before the others; what is known is asked for again with age. All
of it is in one budget a cycle, of which each of the two has at least a half where it needs it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from libs.common import clock as system_clock
from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from libs.common.hive import HiveClient, HiveError
from libs.common.tasks.background import Background
from services.sync_worker.locks import TITLES_LOCK, lock
from services.sync_worker.tables.table import Key
from services.sync_worker.titles import repository
from services.sync_worker.titles.hive_posts import Texts, read_post

_log = structlog.get_logger(__name__)
AT_ONCE = 8  # questions to Hive
NEWEST = 1000  # posts that are asked for again after `NEW_AGE`; the others after `OLD_AGE`
NEW_AGE = timedelta(hours=1)
OLD_AGE = timedelta(days=25)  # and the budget has five days to come to them
ASK_AGAIN = timedelta(hours=1)  # after Hive did not know a post, and four times that each time it still does not


class Titles:
    """A component that fills in the texts of posts after each cycle; at most `per_cycle` of them."""

    def __init__(
        self,
        database: Database,
        hive: HiveClient,
        per_cycle: int,
        clock: Callable[[], datetime] = system_clock.now,
    ) -> None:
        self._database = database
        self._hive = hive
        self._per_cycle = per_cycle
        self._clock = clock
        self._due = asyncio.Event()
        self._background = Background()

    async def start(self) -> None:
        self._background.begin(self._run())

    async def stop(self) -> None:
        await self._background.end()

    def fill_soon(self) -> None:
        """Wakes the component: a cycle has ended."""
        self._due.set()

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            await self.fill_or_later()

    async def fill_or_later(self) -> None:
        """Calls `fill`; logs a failure, and the next cycle tries again."""
        try:
            await self.fill()
        except PresenceError as error:
            _log.warning("titles wait", error=str(error))
        except Exception:
            _log.exception("titles failed")

    async def fill(self, most: int | None = None) -> int:
        """Fetches the texts of `most` posts that are due; returns how many it got. Raises `unavailable`."""
        async with lock(self._database, TITLES_LOCK, wait=False) as ours:
            return await self._fill(min(self._per_cycle, most or self._per_cycle)) if ours else 0

    async def _fill(self, most: int) -> int:
        async with self._database.read() as connection:
            new = await repository.never_asked(connection, most)
            old = await repository.due(connection, self._clock(), most)
        again = old[: max(most - len(new), most // 2)]
        keys = [*new[: most - len(again)], *again]
        filled = await self.fetch(keys)
        if keys:
            _log.info("titles fetched", filled=filled, unknown=len(keys) - filled)
        return filled

    async def fetch_wanted(self, keys: Sequence[Key]) -> int:
        """Fetches those of `keys` of which nothing is known that still holds. Raises `unavailable`."""
        async with self._database.read() as connection:
            askable = await repository.askable(connection, keys, self._clock())
        return await self.fetch(askable)

    async def fetch(self, keys: Sequence[Key]) -> int:
        """Fetches the texts of all of `keys`; returns how many Hive knows. Raises `unavailable`."""
        if not keys:
            return 0
        async with self._database.read() as connection:
            young_from = await repository.block_of_newest(connection, NEWEST)
        filled = 0
        for start in range(0, len(keys), AT_ONCE):
            filled += await self._fetch_some(keys[start : start + AT_ONCE], young_from)
        return filled

    async def _fetch_some(self, keys: Sequence[Key], young_from: int | None) -> int:
        """Asks for all of `keys` and keeps the answers, also when Hive goes away half-way."""
        answers = await asyncio.gather(*(self._ask(key) for key in keys), return_exceptions=True)
        for key, answer in zip(keys, answers, strict=True):
            if not isinstance(answer, BaseException):
                await self._save(key, answer, young_from)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return sum(answer is not None for answer in answers)

    async def _save(self, key: Key, texts: Texts | None, young_from: int | None) -> None:
        """One row a transaction: of several, in another order than a cycle's, each would wait for the other."""
        moment = self._clock()
        due_at = repository.due_by_age(young_from, moment + NEW_AGE, moment + OLD_AGE)
        async with self._database.transaction() as connection:
            if texts is None:
                await repository.save_miss(connection, key, moment, ASK_AGAIN, OLD_AGE)
            else:
                await repository.save_texts(connection, key, texts, moment, due_at)

    async def _ask(self, key: Key) -> Texts | None:
        """The texts of a post; None if Hive does not know it."""
        try:
            answer = await self._hive.call("bridge.get_post", {"author": key[0], "permlink": key[1]})
        except HiveError:
            return None
        return read_post(answer, fallback=key[1])
