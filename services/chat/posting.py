"""Writing a message."""

from collections.abc import Sequence
from dataclasses import replace

from libs.common.access import Action, Role, Standing
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts.chat import Message, MessageReply, PostMessage, message_posted
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog, Transaction
from libs.common.errors import SLOW_MODE, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.chat import commands_repository as commands
from services.chat import content, repository
from services.chat import subscriptions_repository as subscriptions
from services.chat.commands_repository import AlreadyDone, Command
from services.chat.filters import Draft, Filter, check_all
from services.chat.notifier import Notifier
from services.chat.policy import Policy
from services.chat.recipients import Recipients


class Posting:
    """Everything is checked against the policy at the moment of use."""

    def __init__(
        self, database: Database, log: EventLog, policy: Policy, recipients: Recipients, notifier: Notifier,
        filters: Sequence[Filter],
    ) -> None:  # fmt: skip
        self._database, self._log, self._policy = database, log, policy
        self._recipients, self._notifier, self._filters = recipients, notifier, filters

    async def post_message(self, caller: Caller, request: PostMessage) -> MessageReply:
        """Store a message and its log row; the same `client_message_id` gives the first one's message."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        draft = _draft(caller, space, request)
        command = Command(caller.identity.key, "post", str(space), str(draft.client_message_id))
        await self._recipients.remember(self._database, caller.identity.account)
        try:
            async with self._log.transaction() as tx:
                await commands.begin(tx.connection, command, draft.id)
                message, told = await self._store(tx, caller, space, draft)
        except AlreadyDone:
            async with self._database.read() as connection:
                first = await commands.subject_of(connection, command)
                return MessageReply((await repository.get(connection, first)).message)
        self._notifier.tell(message, told)
        return MessageReply(message)

    async def _store(
        self, tx: Transaction, caller: Caller, space: SpaceKey, draft: Message
    ) -> tuple[Message, dict[str, str]]:
        """What others wait for comes last: the row of what is answered, then the space's counter."""
        standing = await self._policy.require(tx.connection, caller.identity, space, Action.CHAT)
        draft = await self._checked(tx, caller, standing, draft)
        answered = None
        if draft.parent_message_id:
            answered = await repository.count_reply(tx.connection, space, draft.subspace, draft.parent_message_id)
        told = await self._recipients.of(tx.connection, draft, answered)
        await subscriptions.notify(tx.connection, draft, told)
        event = await tx.append(
            message_posted, space, caller, lambda seq: replace(draft, seq=seq), subspace=draft.subspace
        )
        message = replace(draft, seq=event.seq)
        await repository.insert(tx.connection, message, caller.identity.key)
        return message, told

    async def _checked(self, tx: Transaction, caller: Caller, standing: Standing, draft: Message) -> Message:
        """The draft with what the rules make of it."""
        text = content.clean(str(draft.content))
        await check_all(self._filters, Draft(caller.identity, standing, text))
        await _keep_pace(tx, caller, standing)
        mentions = await self._recipients.known(tx.connection, content.mentioned(text))
        return replace(draft, content=text, mentions=mentions)


async def _keep_pace(tx: Transaction, caller: Caller, standing: Standing) -> None:
    """Slow mode: an author's next message, but a moderator's, waits so long."""
    seconds = int(standing.settings["slow_mode_seconds"])
    if seconds <= 0 or standing.role >= Role.MODERATOR:
        return
    wait = await repository.take_turn(tx.connection, standing.space, caller.identity.key, seconds)
    if wait is not None:
        raise PresenceError(SLOW_MODE, details={"retry_after": int(wait) + 1})


def _draft(caller: Caller, space: SpaceKey, request: PostMessage) -> Message:
    """The message as it will be, but for its `seq` and what the rules make of its text."""
    moment = now()
    return Message(
        id=new_id(),
        seq=0,
        space_type=space.space_type,
        space_id=space.space_id,
        subspace=request.subspace,
        user_account=caller.identity.account,
        guest=caller.identity.guest,
        display_name=caller.identity.display_name,
        message_type=request.message_type,
        content=request.content,
        parent_message_id=request.parent_message_id,
        thread_count=0,
        reactions={},
        mentions=[],
        is_edited=False,
        is_deleted=False,
        created_at=moment,
        updated_at=moment,
        client_message_id=request.client_message_id or new_id(),
    )
