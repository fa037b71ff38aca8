"""An account's subscription to a space: its notification level, its read cursors, and the unread messages."""

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.contracts.chat import Message
from libs.common.contracts.notifications import (
    ChatSubscription,
    GetSubscription,
    MarkRead,
    ReadState,
    SetSubscription,
)
from libs.common.db.engine import Database
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.chat.inbox import read_cursors_repository as cursors
from services.chat.messages import messages_repository
from services.chat.messages.messages_repository import StoredMessage
from services.chat.notifications import subscriptions_repository
from services.chat.notifications.recipients import Recipients
from services.chat.rules import commands_repository as commands
from services.chat.rules.commands_repository import Command
from services.chat.rules.policy import Policy, require_account


class SubscriptionHandlers:
    """Each raises `unauthorized` for a caller without an account, and as the policy does for entering the space."""

    def __init__(self, database: Database, reads: Database, policy: Policy, recipients: Recipients) -> None:
        self._database = database
        self._reads = reads
        self._policy = policy
        self._recipients = recipients

    async def get_subscription(self, caller: Caller, request: GetSubscription) -> ChatSubscription:
        """Returns the caller's level, cursors and unread counts in the space."""
        account, space = require_account(caller), SpaceKey.parse(request.space_type, request.space_id)
        async with self._reads.read(snapshot=True) as connection:
            await self._policy.require(connection, caller, space, Action.ENTER)
            return await _subscription(connection, space, account)

    async def set_subscription(self, caller: Caller, request: SetSubscription) -> ChatSubscription:
        """Sets the level; returns the subscription afterwards. A command carried out before changes nothing."""
        account, space = require_account(caller), SpaceKey.parse(request.space_type, request.space_id)
        command = Command(caller.identity.key, "subscribe", str(space), request.client_message_id or new_id())
        async with self._database.transaction() as connection:
            await self._policy.require(connection, caller, space, Action.ENTER)
            if await commands.begin_all(connection, [command], [new_id()]):
                await subscriptions_repository.set_level(connection, space, account, request.level)
            return await _subscription(connection, space, account)

    async def mark_read(self, caller: Caller, request: MarkRead) -> ReadState:
        """Moves a cursor, forwards only, so an old command that comes late changes nothing.

        Raises `not_found` for a message that is not in the space, or not in the thread.
        """
        account, space = require_account(caller), SpaceKey.parse(request.space_type, request.space_id)
        await self._recipients.remember(self._database, account)
        async with self._database.transaction() as connection:
            await self._policy.require(connection, caller, space, Action.ENTER)
            message = (await _in_space(connection, space, request.message_id)).message
            if request.thread_id:
                return await self._mark_thread(connection, space, account, message, request.thread_id)
            await cursors.move(connection, space, account, message)
            floor = (await subscriptions_repository.get(connection, space, account)).last_read_seq
            read = await cursors.of_subspace(connection, space, account, message.subspace, floor)
            return ReadState(read.last_read_message_id or message.id, read.last_read_seq, read.unread, read.subspace)

    @staticmethod
    async def _mark_thread(
        connection: AsyncConnection, space: SpaceKey, account: str, message: Message, thread_id: str
    ) -> ReadState:
        await _in_space(connection, space, thread_id)
        if thread_id not in (message.id, message.parent_message_id):
            raise PresenceError(NOT_FOUND, "That message is not in this thread.")
        await cursors.move_in_thread(connection, thread_id, account, message)
        last, seq = await cursors.of_thread(connection, thread_id, account)
        unread = await cursors.unread_in_thread(connection, thread_id, account, seq)
        return ReadState(last, seq, unread, message.subspace, thread_id)


async def _subscription(connection: AsyncConnection, space: SpaceKey, account: str) -> ChatSubscription:
    stored = await subscriptions_repository.get(connection, space, account)
    subspaces = await cursors.of_space(connection, space, account, stored.last_read_seq)
    moved = [cursor for cursor in subspaces if cursor.last_read_message_id]
    newest = max(moved, key=lambda cursor: cursor.last_read_seq, default=stored)
    return ChatSubscription(
        space.space_type,
        space.space_id,
        stored.level,
        newest.last_read_message_id,
        newest.last_read_seq,
        cursors.total_unread(subspaces),
        subspaces,
    )


async def _in_space(connection: AsyncConnection, space: SpaceKey, message_id: str) -> StoredMessage:
    stored = await messages_repository.get(connection, message_id)
    if stored.space != space:
        raise PresenceError(NOT_FOUND)
    return stored
