"""Ninety days of chat: months are made ahead, and archived and dropped once all of them is older than that.

A month is detached, then archived, then dropped, so that nothing can change between archive and drop; a crash on the
way leaves it to the next round. A month that was restored stays for as long as the file `chat-2026-08.keep` lies beside
its manifest.
"""

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import structlog

from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from services.chat.retention import archive
from services.chat.retention import months_repository as months
from services.chat.retention import outlived_repository as forgetting

_log = structlog.get_logger(__name__)
KEPT = timedelta(days=90)
AHEAD = 2  # months
INTERVAL = 6 * 3600.0  # seconds
RETRY = 10.0  # seconds, while the database is away
BATCH = 5000


class Retention:
    """A component. Without a folder for archives nothing is dropped, but months are made."""

    def __init__(self, database: Database, folder: str, clock: Callable[[], datetime]) -> None:
        self._database, self._clock = database, clock
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
            await self.look_ahead()
            await self.look_back()
        except PresenceError as error:
            _log.warning("retention waits", error=str(error))
        except Exception:
            _log.exception("retention failed")
            return True
        else:
            return True
        return False

    async def look_ahead(self) -> None:
        """This month's partitions and the next ones'."""
        month = self._clock().date().replace(day=1)
        for _ in range(AHEAD + 1):
            async with self._database.transaction() as connection:
                await months.make(connection, month)
            month = following(month)

    async def look_back(self) -> list[date]:
        """Archive and drop what is old; the months that went. One process at a time does it."""
        if self._folder is None:
            return []
        gone = []
        before = self._clock() - KEPT
        async with self._database.transaction() as guard:
            if not await months.take_lock(guard):
                return []
            for month in await months.existing(guard):
                if following(month) <= before.date() and not archive.is_kept(month, self._folder):
                    await self._retire(month, self._folder)
                    gone.append(month)
        await self._forget(before)
        return gone

    async def _retire(self, month: date, folder: Path) -> None:
        await months.detach(self._database, month)
        async with self._database.read(snapshot=True) as connection:
            path = await archive.write(connection, month, folder)
        async with self._database.transaction() as connection:
            await months.drop(connection, month)
        _log.info("month archived", month=f"{month:%Y-%m}", manifest=str(path))

    async def _forget(self, before: datetime) -> None:
        """What only mattered beside those messages."""
        for moment in forgetting.OLD:
            await self._forget_all(moment, before)
        for moment in forgetting.WITH_MONTH:
            await self._forget_all(moment, before.replace(day=1, hour=0, minute=0, second=0, microsecond=0))

    async def _forget_all(self, moment: forgetting.Moment, before: datetime) -> None:
        more = True
        while more:
            async with self._database.transaction() as connection:
                more = await forgetting.forget(connection, moment, before, BATCH) == BATCH


def following(month: date) -> date:
    """The first day of the next month."""
    return (month + timedelta(days=31)).replace(day=1)
