"""One function for each operation of chat."""

import re
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access, cursor
from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts.chat import (
    GetSnapshot,
    ListMessages,
    Message,
    MessagePage,
    MessageReply,
    PostMessage,
    Snapshot,
    message_posted,
)
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog, read_head
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from services.chat import repository
from services.chat.repository import AlreadyPosted, Page

_MENTION = re.compile(r"(?<![\w@/.-])@([a-z][a-z0-9.-]{1,14}[a-z0-9])")
MAX_MENTIONS = 20


class ChatHandlers:
    """Everything is checked against the policy at the moment of use."""

    def __init__(self, database: Database, log: EventLog, operators: tuple[str, ...]) -> None:
        self._database, self._log, self._operators = database, log, operators

    async def post_message(self, caller: Caller, request: PostMessage) -> MessageReply:
        """Store a message and its log row; the same `client_message_id` gives the first one's message."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        client_id = request.client_message_id or new_id()
        try:
            message = await self._store(caller, space, request, client_id)
        except AlreadyPosted:
            async with self._database.read() as connection:
                message = await repository.by_client_id(connection, space, caller.identity.key, client_id)
        return MessageReply(message)

    async def _store(self, caller: Caller, space: SpaceKey, request: PostMessage, client_id: str) -> Message:
        async with self._log.transaction() as tx:
            standing = await access.look(tx.connection, caller.identity, space, self._operators)
            standing.require(Action.CHAT)
            if request.parent_message_id:
                await repository.count_reply(tx.connection, space, request.subspace, request.parent_message_id)
            draft = _draft(caller, space, request, client_id)
            event = await tx.append(
                message_posted, space, caller, lambda seq: replace(draft, seq=seq), subspace=request.subspace
            )
            message = replace(draft, seq=event.seq)
            await repository.insert(tx.connection, message, caller.identity.key)
            return message

    async def list_messages(self, caller: Caller, request: ListMessages) -> MessagePage:
        """A page, oldest first; without `after` it is the newest, and `next_cursor` goes back in time."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read() as connection:
            standing = await access.look(connection, caller.identity, space, self._operators)
            standing.require(Action.ENTER)
            page = Page(space, request.subspace, request.limit, request.parent_message_id)
            page = await self._bounded(connection, page, request)
            messages, has_more = await repository.page(connection, page)
        next_cursor = cursor.encode(messages[0].seq) if has_more and page.after_seq is None else None
        return MessagePage(messages, has_more, next_cursor)

    @staticmethod
    async def _bounded(connection: AsyncConnection, page: Page, request: ListMessages) -> Page:
        if request.cursor:
            return page.before(cursor.decode(request.cursor, tuple[cursor.Number])[0])
        if request.before:
            return page.before(await _seq_of(connection, page.space, request.before))
        if request.after:
            return page.after(await _seq_of(connection, page.space, request.after))
        return page

    async def snapshot(self, caller: Caller, request: GetSnapshot) -> Snapshot:
        """The newest messages and the space's `seq`, both of one moment."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read(snapshot=True) as connection:
            standing = await access.look(connection, caller.identity, space, self._operators)
            standing.require(Action.ENTER)
            seq = await read_head(connection, space)
            messages, _ = await repository.page(connection, Page(space, request.subspace, request.limit))
        return Snapshot(seq, messages)


async def _seq_of(connection: AsyncConnection, space: SpaceKey, message_id: str) -> int:
    seq = await repository.seq_of(connection, space, message_id)
    if seq is None:
        raise PresenceError(NOT_FOUND, "There is no such message in this space.")
    return seq


def _draft(caller: Caller, space: SpaceKey, request: PostMessage, client_id: str) -> Message:
    """The message as it will be, but for its `seq`."""
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
        mentions=_mentions(request.content),
        is_edited=False,
        is_deleted=False,
        created_at=moment,
        updated_at=moment,
        client_message_id=client_id,
    )


def _mentions(content: str) -> list[str]:
    """Account names after an @, each once, in order of appearance."""
    return list(dict.fromkeys(_MENTION.findall(content)))[:MAX_MENTIONS]
