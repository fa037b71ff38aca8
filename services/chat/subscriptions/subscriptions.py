"""Read cursors, unread counts, notification levels, and what an account was notified of."""

from collections.abc import Iterable, Set

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.contracts.chat import Message
from libs.common.contracts.notifications import (
    ChatSubscription,
    GetSubscription,
    ListNotifications,
    MarkRead,
    Notification,
    Notifications,
    NotificationsRead,
    ReadNotifications,
    ReadState,
    SetSubscription,
    SpaceUnread,
)
from libs.common.db import cursor
from libs.common.db.engine import Database
from libs.common.errors import INVALID_INPUT, NOT_FOUND, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.chat.messages import messages_repository as repository
from services.chat.messages.messages_repository import Stored
from services.chat.notifications import subscriptions_repository as subscriptions
from services.chat.notifications.recipients import Recipients
from services.chat.rules import commands_repository as commands
from services.chat.rules.commands_repository import Command
from services.chat.rules.policy import Policy, require_account

MOST_SPACES = 50  # whose unread messages are counted for one account
MOST_IDS = 200


class Subscriptions:
    def __init__(self, database: Database, policy: Policy, recipients: Recipients) -> None:
        self._database, self._policy, self._recipients = database, policy, recipients

    # Levels and cursors

    async def get_subscription(self, caller: Caller, request: GetSubscription) -> ChatSubscription:
        account, space = require_account(caller), SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read(snapshot=True) as connection:
            await self._policy.require(connection, caller, space, Action.ENTER)
            return await _subscription(connection, space, account)

    async def set_subscription(self, caller: Caller, request: SetSubscription) -> ChatSubscription:
        """How it is afterwards. A command that was carried out before changes nothing."""
        account, space = require_account(caller), SpaceKey.parse(request.space_type, request.space_id)
        command = Command(caller.identity.key, "subscribe", str(space), request.client_message_id or new_id())
        async with self._database.transaction() as connection:
            await self._policy.require(connection, caller, space, Action.ENTER)
            if await commands.begin_all(connection, [command], [new_id()]):
                await subscriptions.set_level(connection, space, account, request.level)
            return await _subscription(connection, space, account)

    async def mark_read(self, caller: Caller, request: MarkRead) -> ReadState:
        """A cursor only moves forwards, so an old command that comes late changes nothing."""
        account, space = require_account(caller), SpaceKey.parse(request.space_type, request.space_id)
        await self._recipients.remember(self._database, account)
        async with self._database.transaction() as connection:
            await self._policy.require(connection, caller, space, Action.ENTER)
            message = (await _in_space(connection, space, request.message_id)).message
            if request.thread_id:
                return await self._mark_thread(connection, space, account, message, request.thread_id)
            await subscriptions.move_cursor(connection, space, account, message)
            now = await _subscription(connection, space, account)
            return ReadState(now.last_read_message_id or message.id, now.last_read_seq, now.unread)

    @staticmethod
    async def _mark_thread(
        connection: AsyncConnection, space: SpaceKey, account: str, message: Message, thread_id: str
    ) -> ReadState:
        await _in_space(connection, space, thread_id)
        if thread_id not in (message.id, message.parent_message_id):
            raise PresenceError(NOT_FOUND, "That message is not in this thread.")
        await subscriptions.move_thread_cursor(connection, thread_id, account, message)
        last, seq = await subscriptions.thread_cursor(connection, thread_id, account)
        unread = await subscriptions.unread_in_thread(connection, thread_id, account, seq)
        return ReadState(last, seq, unread, thread_id)

    # Notifications

    async def list_notifications(self, caller: Caller, request: ListNotifications) -> Notifications:
        """Of spaces that the account may see now, whatever it might when it was notified."""
        account = require_account(caller)
        before = cursor.decode_id(request.cursor) if request.cursor else None
        async with self._database.read(snapshot=True) as connection:
            told = await subscriptions.spaces_of(connection, account, MOST_SPACES)
            read = await subscriptions.subscribed(connection, account, MOST_SPACES)
            asked = set({**told, **read})
            hidden = await self._hidden(connection, account, asked)
            spaces = [space for space in {**told, **read} if space not in hidden]
            page, more = await self._page(connection, account, request, before, asked, hidden)
            unread = [
                SpaceUnread(
                    space.space_type,
                    space.space_id,
                    told.get(space, 0),
                    await subscriptions.unread(connection, space, account, read[space]) if space in read else 0,
                )
                for space in spaces
            ]
        return Notifications(page, unread, cursor.encode(page[-1].id) if more else None)

    async def _page(
        self, connection: AsyncConnection, account: str, request: ListNotifications, before: str | None,
        asked: Set[SpaceKey], hidden: Set[SpaceKey],
    ) -> tuple[list[Notification], bool]:  # fmt: skip
        """Of all spaces but the hidden ones, of which there may be more than those `asked` about until now."""
        while True:
            page, more = await subscriptions.notifications(
                connection, account, hidden, unread=request.unread, before=before, limit=request.limit
            )
            new = {SpaceKey(one.space_type, one.space_id) for one in page} - asked
            found = await self._hidden(connection, account, new)
            if not found:
                return page, more
            asked, hidden = asked | new, hidden | found

    async def _hidden(self, connection: AsyncConnection, account: str, spaces: Iterable[SpaceKey]) -> set[SpaceKey]:
        """Those that the account may not see now."""
        return {space for space in spaces if not await self._policy.readers(connection, [account], space)}

    async def read_notifications(self, caller: Caller, request: ReadNotifications) -> NotificationsRead:
        if request.ids is not None and len(request.ids) > MOST_IDS:
            raise PresenceError(INVALID_INPUT, f"At most {MOST_IDS} ids at once.", {"fields": {"ids": ["Too many."]}})
        async with self._database.transaction() as connection:
            return NotificationsRead(await subscriptions.mark_read(connection, require_account(caller), request.ids))


async def _subscription(connection: AsyncConnection, space: SpaceKey, account: str) -> ChatSubscription:
    found = await subscriptions.subscription(connection, space, account)
    unread = await subscriptions.unread(connection, space, account, found.last_read_seq)
    return ChatSubscription(
        space.space_type, space.space_id, found.level, found.last_read_message_id, found.last_read_seq, unread
    )


async def _in_space(connection: AsyncConnection, space: SpaceKey, message_id: str) -> Stored:
    stored = await repository.get(connection, message_id)
    if stored.space != space:
        raise PresenceError(NOT_FOUND)
    return stored
