"""Notifies accounts of their webhooks: makes notifications of the notices that webhook_dispatcher left, each once."""

from libs.common.db.engine import Database
from libs.common.spaces import MAIN, SpaceKey
from libs.common.tasks.background import Background
from services.chat.notifications import notices_repository as repository
from services.chat.notifications.notifications_repository import Said
from services.chat.notifications.notifier import Notifier

LOOK_SECONDS = 5.0
AT_ONCE = 100  # notices of a transaction


class WebhookNotices:
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
        async with self._database.transaction() as connection:
            notices = await repository.unmade_of_webhooks(connection, AT_ONCE)
            made = [notice for notice in notices if await repository.insert_of_webhook(connection, notice)]
        for notice in made:
            space = SpaceKey(notice.space_type, notice.space_id)
            said = Said(notice.id, 0, space, MAIN, notice.host, notice.title, of_event=True)
            self._notifier.notify(said, {notice.account: notice.kind})
