"""Reactions: any emoji, one of each for a person, counted exactly."""

from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.contracts.chat import MessageId, React, ReactionChanged, Reactions, Unreact, reaction_changed
from libs.common.db.event_log import EventLog, Transaction
from libs.common.errors import CONFLICT, PresenceError
from libs.common.ids import new_id
from services.chat.messages import messages_repository as repository
from services.chat.messages.changes import lock, require_alive
from services.chat.messages.messages_repository import Stored
from services.chat.messages.queries import Reading
from services.chat.rules import commands_repository as commands
from services.chat.rules import text_rules as content
from services.chat.rules.commands_repository import AlreadyDone, Command
from services.chat.rules.policy import Policy

SHOWN = 20  # names of an emoji
MOST_EMOJI = 50  # different ones on a message


class Reacting:
    def __init__(self, log: EventLog, policy: Policy, reading: Reading) -> None:
        self._log, self._policy, self._reading = log, policy, reading

    async def unreact(self, caller: Caller, request: Unreact) -> Reactions:
        asked = React(request.id, request.emoji, True, request.space_type, request.space_id, request.client_message_id)
        return await self.react(caller, asked)

    async def react(self, caller: Caller, request: React) -> Reactions:
        """All reactions of the message afterwards. What changes nothing is no event."""
        emoji = content.require_emoji(request.emoji)
        command = Command(caller.identity.key, "react", request.id, request.client_message_id or new_id())
        try:
            async with self._log.transaction() as tx:
                await commands.begin(tx.connection, command, request.id)
                return await self._change(tx, caller, request, emoji)
        except AlreadyDone:
            message = (await self._reading.get_message(caller, MessageId(request.id))).message
            return Reactions(message.id, message.reactions)

    async def _change(self, tx: Transaction, caller: Caller, request: React, emoji: str) -> Reactions:
        stored = await lock(tx, MessageId(request.id, request.space_type, request.space_id))
        action = Action.ENTER if request.remove else Action.CHAT
        await self._policy.require(tx.connection, caller, stored.space, action)
        require_alive(stored)
        message, reactions = stored.message, stored.message.reactions
        if await _write(tx, stored, caller, emoji, remove=request.remove):
            reactions = await repository.sum_up(tx.connection, message, emoji, SHOWN)
            changed = ReactionChanged(
                message.id, reactions, emoji, request.remove, caller.identity.account, caller.identity.display_name
            )
            await tx.append(reaction_changed, stored.space, caller, lambda _: changed, subspace=message.subspace)
        return Reactions(message.id, reactions)


async def _write(tx: Transaction, stored: Stored, caller: Caller, emoji: str, *, remove: bool) -> bool:
    """Whether that changes anything."""
    who = caller.identity.key
    if remove:
        return await repository.unset_reaction(tx.connection, stored, who, emoji)
    if emoji not in stored.message.reactions and len(stored.message.reactions) >= MOST_EMOJI:
        raise PresenceError(CONFLICT, f"A message takes {MOST_EMOJI} different emoji.")
    return await repository.set_reaction(tx.connection, stored, who, caller.identity.display_name, emoji)
