"""Changes messages: edits and deletions.

Each locks the message's row first and the space's counter last, so that they follow one another and cannot deadlock.
"""

from collections.abc import Sequence
from dataclasses import replace

from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts.chat import (
    DeleteMessage,
    EditMessage,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageId,
    MessageReply,
    message_deleted,
    message_edited,
    message_removed,
)
from libs.common.db.event_log import EventLog, Transaction
from libs.common.db.redaction import forget_words
from libs.common.errors import CONFLICT, FORBIDDEN, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.chat.messages import messages_repository as repository
from services.chat.messages.messages_repository import StoredMessage
from services.chat.messages.queries import require_visible
from services.chat.notifications import notifications_repository
from services.chat.notifications.notifier import Notifier
from services.chat.notifications.recipients import Recipients
from services.chat.rules import commands_repository as commands
from services.chat.rules import mentions, text_rules
from services.chat.rules.commands_repository import AlreadyDone, Command
from services.chat.rules.filters import Draft, Filter, check_all
from services.chat.rules.policy import Policy, require_same_space


class ChangeHandlers:
    """Each raises `not_found` for a message that the caller may not see."""

    def __init__(
        self,
        log: EventLog,
        policy: Policy,
        recipients: Recipients,
        notifier: Notifier,
        filters: Sequence[Filter],
    ) -> None:
        self._log = log
        self._policy = policy
        self._recipients = recipients
        self._notifier = notifier
        self._filters = filters

    async def edit_message(self, caller: Caller, request: EditMessage) -> MessageReply:
        """Stores the author's new words. Equal words change nothing, nor does a command that was carried out before.

        Raises `forbidden` for anybody but the author, `conflict` for a deleted message.
        """
        command = Command(caller.identity.key, "edit", request.id, request.client_message_id or new_id())
        try:
            async with self._log.transaction() as tx:
                await commands.begin(tx.connection, command, request.id)
                message, kinds = await self._edit(tx, caller, request)
        except AlreadyDone:
            return MessageReply(await as_it_is(self._log, self._policy, caller, request.id))
        self._notifier.notify(notifications_repository.said(message), kinds)
        return MessageReply(message)

    async def _edit(self, tx: Transaction, caller: Caller, request: EditMessage) -> tuple[Message, dict[str, str]]:
        stored = await lock(tx, request)
        standing = await self._policy.require(tx.connection, caller, stored.space, Action.CHAT)
        _require_own(caller, stored)
        require_alive(stored)
        text = text_rules.clean(request.content)
        if text == stored.message.content:
            return stored.message, {}
        await check_all(self._filters, Draft(caller, standing, text))
        named = await self._recipients.known(tx.connection, mentions.mentioned(text))
        after = replace(stored.message, content=text, mentions=named, is_edited=True, updated_at=now())
        kinds = await self._notify_of_edit(tx, stored.message, after)
        await repository.edit(tx.connection, stored.message, after, caller.identity.key)
        await tx.append(
            message_edited,
            stored.space,
            caller,
            lambda seq: _edited(after, seq),
            subspace=after.subspace,
            subject=after.id,
        )
        return after, kinds

    async def _notify_of_edit(self, tx: Transaction, before: Message, after: Message) -> dict[str, str]:
        """Takes mentions back that the new words do not make, and makes those that the old ones did not.

        Returns the accounts that only the new words name, with the kind of each.
        """
        added, removed = set(after.mentions) - set(before.mentions), set(before.mentions) - set(after.mentions)
        if not added and not removed:
            return {}
        space = SpaceKey(after.space_type, after.space_id)
        answered = await self._answered(tx, after)
        (kinds,) = await self._recipients.of(tx.connection, space, [(after, answered)])
        await notifications_repository.withdraw(tx.connection, after.id, removed, kinds)
        named = {account: kind for account, kind in kinds.items() if account in added}
        await notifications_repository.insert(tx.connection, [(notifications_repository.said(after), named)])
        return named

    @staticmethod
    async def _answered(tx: Transaction, message: Message) -> str | None:
        """Returns the account that a message answers."""
        if message.parent_message_id is None:
            return None
        parent = (await repository.get_all(tx.connection, [message.parent_message_id])).get(message.parent_message_id)
        return parent.message.user_account if parent else None

    async def delete_message(self, caller: Caller, request: DeleteMessage) -> MessageReply:
        """Deletes the author's own message, or as a moderator another's; returns the tombstone.

        Deleting again changes nothing. Raises `forbidden` as `Standing.require_over_words_of` does.
        """
        async with self._log.transaction() as tx:
            stored = await lock(tx, request)
            await self._policy.require(tx.connection, caller, stored.space, Action.ENTER)
            own = stored.author_key == caller.identity.key
            if not own:
                await self._policy.require_over_words_of(tx.connection, caller, stored.space, stored.author_key)
            if stored.message.is_deleted:
                return MessageReply(stored.message)
            after = repository.tombstone(stored.message, now())
            await repository.erase(tx.connection, after, caller.identity.key)
            await notifications_repository.forget(tx.connection, after.id)
            await forget_words(tx.connection, after.id)
            deleted = MessageDeleted(
                after.id,
                0,
                after.parent_message_id,
                after.user_account,
                caller.identity.account,
                None if own else request.reason,
                after.updated_at,
            )
            event = message_deleted if own else message_removed
            await tx.append(event, stored.space, caller, lambda seq: replace(deleted, seq=seq), subspace=after.subspace)
        return MessageReply(after)


async def lock(tx: Transaction, request: EditMessage | DeleteMessage | MessageId) -> StoredMessage:
    """Locks and returns the message that the request names. Raises `not_found`, also if it is in another space."""
    stored = await repository.lock(tx.connection, request.id)
    require_same_space(stored.space, request.space_type, request.space_id)
    return stored


async def as_it_is(log: EventLog, policy: Policy, caller: Caller, message_id: str) -> Message:
    """Returns the message of a command that was carried out before, over a connection for writers."""
    async with log.transaction() as tx:
        return (await require_visible(tx.connection, policy, caller, MessageId(message_id))).message


def require_alive(stored: StoredMessage) -> None:
    """Raises `conflict` for a tombstone."""
    if stored.message.is_deleted:
        raise PresenceError(CONFLICT, "That message was deleted.")


def _require_own(caller: Caller, stored: StoredMessage) -> None:
    if stored.author_key != caller.identity.key:
        raise PresenceError(FORBIDDEN, "Only its author can edit a message.")


def _edited(message: Message, seq: int) -> MessageEdited:
    return MessageEdited(
        message.id,
        seq,
        message.content or "",
        message.mentions,
        message.user_account,
        message.display_name,
        message.parent_message_id,
        message.updated_at,
    )
