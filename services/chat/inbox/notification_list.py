"""Lists an account's notifications, of all spaces together, and marks them as read."""

from collections.abc import Iterable, Set

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.bus.base import Caller
from libs.common.contracts.notifications import (
    ListNotifications,
    Notification,
    Notifications,
    NotificationsRead,
    ReadNotifications,
    SpaceUnread,
)
from libs.common.db import cursor
from libs.common.db.engine import Database
from libs.common.spaces import SpaceKey
from services.chat.inbox import read_cursors_repository as cursors
from services.chat.notifications import notifications_repository, subscriptions_repository
from services.chat.rules.policy import Policy, require_account

MOST_SPACES = 50  # whose unread messages are counted for one account


class NotificationHandlers:
    """Each raises `unauthorized` for a caller without an account."""

    def __init__(self, database: Database, reads: Database, policy: Policy) -> None:
        self._database = database
        self._reads = reads
        self._policy = policy

    async def list_notifications(self, caller: Caller, request: ListNotifications) -> Notifications:
        """Returns a page, newest first, and unread counts by space.

        It leaves out spaces that the account may not see now, though it could when it was notified.
        """
        account = require_account(caller)
        before = cursor.decode_id(request.cursor) if request.cursor else None
        async with self._reads.read(snapshot=True) as connection:
            notified = await notifications_repository.unread_by_space(connection, account, MOST_SPACES)
            read = await subscriptions_repository.subscribed(connection, account, MOST_SPACES)
            checked = set({**notified, **read})
            hidden = await self._hidden(connection, account, checked)
            spaces = [space for space in {**notified, **read} if space not in hidden]
            page, more = await self._page(connection, account, request, before, checked, hidden)
            unread = [
                SpaceUnread(
                    space.space_type,
                    space.space_id,
                    notified.get(space, 0),
                    await _unread(connection, space, account, read[space]) if space in read else 0,
                )
                for space in spaces
            ]
        return Notifications(page, unread, cursor.encode(page[-1].id) if more else None)

    async def _page(
        self,
        connection: AsyncConnection,
        account: str,
        request: ListNotifications,
        before: str | None,
        checked: Set[SpaceKey],
        hidden: Set[SpaceKey],
    ) -> tuple[list[Notification], bool]:
        """Returns a page without notifications of hidden spaces; true if there are more.

        A page may hold spaces that are not `checked` yet: those are checked, and the page is read again if one of them
        is hidden.
        """
        while True:
            page, more = await notifications_repository.page(
                connection, account, hidden, unread=request.unread, before=before, limit=request.limit
            )
            unchecked = {SpaceKey(item.space_type, item.space_id) for item in page} - checked
            newly_hidden = await self._hidden(connection, account, unchecked)
            if not newly_hidden:
                return page, more
            checked, hidden = checked | unchecked, hidden | newly_hidden

    async def _hidden(self, connection: AsyncConnection, account: str, spaces: Iterable[SpaceKey]) -> set[SpaceKey]:
        """Returns those of `spaces` that the account may not see now."""
        return {space for space in spaces if not await self._policy.readers(connection, [account], space)}

    async def read_notifications(self, caller: Caller, request: ReadNotifications) -> NotificationsRead:
        """Marks notifications as read; returns how many were unread."""
        account = require_account(caller)
        async with self._database.transaction() as connection:
            return NotificationsRead(await notifications_repository.mark_read(connection, account, request.ids))


async def _unread(connection: AsyncConnection, space: SpaceKey, account: str, floor: int) -> int:
    return cursors.total_unread(await cursors.of_space(connection, space, account, floor))
