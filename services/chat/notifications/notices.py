"""Notifies accounts of what other services left a notice of, events and webhooks: each is made once."""

from libs.common.db.engine import Database
from libs.common.spaces import MAIN
from libs.common.tasks.background import Background
from services.chat.notifications import notices_repository as repository
from services.chat.notifications.notices_repository import Notice, Unmade
from services.chat.notifications.notifications_repository import Said
from services.chat.notifications.notifier import Notifier

LOOK_SECONDS = 5.0


class Notices:
    """A component. Any number of processes may have one; what two make at once is there once."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._background = Background()

    async def start(self) -> None:
        self._background.every(LOOK_SECONDS, self.look, at_once=True)

    async def stop(self) -> None:
        await self._background.end()

    async def look(self) -> None:
        """Makes what is not made yet, and tells those who are connected."""
        for unmade in (repository.OF_EVENTS, repository.OF_WEBHOOKS):
            await self._make(unmade)

    async def _make(self, unmade: Unmade) -> None:
        async with self._database.transaction() as connection:
            notices = await unmade.first(connection)
            made = [(notice, await repository.insert(connection, notice)) for notice in notices]
        for notice, accounts in made:
            self._notifier.notify(_said(notice), dict.fromkeys(accounts, notice.kind))


def _said(notice: Notice) -> Said:
    return Said(notice.id, 0, notice.space, MAIN, notice.by, notice.title, of_event=True)
