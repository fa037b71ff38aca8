"""Reactions to messages: any emoji, each once a person, counted exactly."""

from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.contracts.chat import MessageId, React, ReactionChanged, Reactions, Unreact, reaction_changed
from libs.common.db.event_log import EventLog, Transaction
from libs.common.errors import CONFLICT, PresenceError
from libs.common.ids import new_id
from services.chat.messages import reactions_repository as repository
from services.chat.messages.changes import as_it_is, lock, require_alive
from services.chat.messages.messages_repository import StoredMessage
from services.chat.rules import commands_repository as commands
from services.chat.rules import slow_mode
from services.chat.rules.commands_repository import AlreadyDone, Command
from services.chat.rules.emoji import require_emoji
from services.chat.rules.policy import Policy

SHOWN = 20  # names of an emoji
MOST_EMOJI = 50  # different ones on a message


class ReactionHandlers:
    """Each returns all reactions of the message, and raises `not_found` for one that the caller may not see."""

    def __init__(self, log: EventLog, policy: Policy) -> None:
        self._log = log
        self._policy = policy

    async def unreact(self, caller: Caller, request: Unreact) -> Reactions:
        """Takes a reaction back."""
        removal = React(
            request.id, request.emoji, True, request.space_type, request.space_id, request.client_message_id
        )
        return await self.react(caller, removal)

    async def react(self, caller: Caller, request: React) -> Reactions:
        """Adds or removes a reaction. A command that changes nothing makes no event.

        Raises `invalid_input` unless it is one emoji, `conflict` for a deleted message or one with too many emoji.
        """
        emoji = require_emoji(request.emoji)
        command = Command(caller.identity.key, "react", request.id, request.client_message_id or new_id())
        try:
            async with self._log.transaction() as tx:
                await commands.begin(tx.connection, command, request.id)
                return await self._change(tx, caller, request, emoji)
        except AlreadyDone:
            message = await as_it_is(self._log, self._policy, caller, request.id)
            return Reactions(message.id, message.reactions)

    async def _change(self, tx: Transaction, caller: Caller, request: React, emoji: str) -> Reactions:
        stored = await lock(tx, MessageId(request.id, request.space_type, request.space_id))
        action = Action.ENTER if request.remove else Action.CHAT
        standing = await self._policy.require(tx.connection, caller, stored.space, action)
        require_alive(stored)
        if not request.remove:
            await slow_mode.require_reaction(tx.connection, caller, standing)
        message, reactions = stored.message, stored.message.reactions
        if await _write(tx, stored, caller, emoji, remove=request.remove):
            reactions = await repository.sum_up(tx.connection, message, emoji, SHOWN)
            changed = ReactionChanged(
                message.id, reactions, emoji, request.remove, caller.identity.account, caller.identity.display_name
            )
            await tx.append(reaction_changed, stored.space, caller, lambda _: changed, subspace=message.subspace)
        return Reactions(message.id, reactions)


async def _write(tx: Transaction, stored: StoredMessage, caller: Caller, emoji: str, *, remove: bool) -> bool:
    """Stores or deletes the reaction; returns false if that changed nothing."""
    message, author_key = stored.message, caller.identity.key
    if remove:
        return await repository.remove(tx.connection, message.id, author_key, emoji)
    if emoji not in message.reactions and len(message.reactions) >= MOST_EMOJI:
        raise PresenceError(CONFLICT, f"A message takes {MOST_EMOJI} different emoji.")
    return await repository.add(tx.connection, message.id, author_key, caller.identity.display_name, emoji)
