"""Keeps ninety days of chat: makes months ahead, and archives and drops a month once all of it is older than that.

A month is detached, then archived, then dropped, so that nothing can change between archive and drop; after a crash on
the way the next round goes on. What its messages said goes from the log and from webhooks in the transaction that drops
it. A month that was restored stays for as long as the file `chat-2026-08.keep` lies beside
its manifest.

    python -m services.chat.retention.retention      now, in the service's environment
"""

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import structlog

from libs.common.clock import now
from libs.common.contracts.moderation import MAX_SLOW_MODE
from libs.common.db.engine import Database
from libs.common.db.pruning import BATCH, delete_older, prune_by_hand
from libs.common.db.redaction import Place, forget_delivered, forget_month
from libs.common.errors import PresenceError
from libs.common.settings import read
from services.chat.retention import archive, outlived
from services.chat.retention import months_repository as months
from services.chat.settings import Settings

_log = structlog.get_logger(__name__)
KEPT = timedelta(days=90)
AHEAD = 2  # months
TURNS_KEPT = timedelta(seconds=MAX_SLOW_MODE)
INTERVAL = 6 * 3600.0  # seconds
RETRY = 10.0  # seconds, while the database is away


class Retention:
    """A component. Without a folder for archives it drops nothing, but makes months."""

    def __init__(self, database: Database, folder: str, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._folder = Path(folder) if folder else None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            done = await self._try()
            await asyncio.sleep(INTERVAL if done else RETRY)

    async def _try(self) -> bool:
        try:
            await self.run_once()
        except PresenceError as error:
            _log.warning("retention waits", error=str(error))
        except Exception:
            _log.exception("retention failed")
            return True
        else:
            return True
        return False

    async def run_once(self) -> None:
        """Makes months ahead, then ends what is over."""
        await self.look_ahead()
        await self.look_back()
        await self.forget_turns()

    async def look_ahead(self) -> None:
        """Makes the partitions of this month and the next ones."""
        month = self._clock().date().replace(day=1)
        for _ in range(AHEAD + 1):
            async with self._database.transaction() as connection:
                await months.make(connection, month)
            month = following(month)

    async def look_back(self) -> list[date]:
        """Archives and drops old months; returns those dropped. One process at a time does it."""
        if self._folder is None:
            return []
        dropped = []
        before = self._clock() - KEPT
        async with self._database.transaction() as guard:
            if not await months.take_lock(guard):
                return []
            for month in await months.existing(guard):
                if following(month) <= before.date() and not archive.is_kept(month, self._folder):
                    await self._retire(month, self._folder)
                    dropped.append(month)
        await self._delete_outlived(before)
        return dropped

    async def forget_turns(self) -> None:
        """Deletes turns of slow mode that hold nobody any more: those of guests name their address."""
        for moment in outlived.TURNS:
            await delete_older(self._database, moment, self._clock() - TURNS_KEPT)

    async def _retire(self, month: date, folder: Path) -> None:
        await months.detach(self._database, month)
        async with self._database.read(snapshot=True) as connection:
            path = await archive.write(connection, month, folder)
        await self._drop(month)
        _log.info("month archived", month=f"{month:%Y-%m}", manifest=str(path))

    async def _drop(self, month: date) -> None:
        """Drops a month with its words, wherever they are: at once, but for what the log has too much of for once.

        Nothing is added meanwhile, since nobody can edit what is detached. A log that goes with its own months has
        little left by then: what was edited long after it was written.
        """
        place: Place | None = Place()
        while place:
            async with self._database.transaction() as connection:
                place = await forget_month(connection, month, place, BATCH)
                if place is None:
                    await forget_delivered(connection, month)
                    await months.drop(connection, month)

    async def _delete_outlived(self, before: datetime) -> None:
        """Deletes rows of no use without the messages that are gone."""
        for moment in outlived.OLD:
            await delete_older(self._database, moment, before)
        for moment in outlived.WITH_MONTH:
            first = before.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            await delete_older(self._database, moment, first)


def following(month: date) -> date:
    """Returns the first day of the next month."""
    return (month + timedelta(days=31)).replace(day=1)


if __name__ == "__main__":
    prune_by_hand(
        "chat", read(Settings).database_url, lambda d: Retention(d, read(Settings).chat_archive, now).run_once()
    )
