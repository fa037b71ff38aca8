"""Reading messages: pages, threads, one, its history, and the snapshot for whoever enters."""

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.contracts.chat import (
    GetSnapshot,
    ListEdits,
    ListMessages,
    ListThread,
    Message,
    MessageHistory,
    MessageId,
    MessagePage,
    MessageReply,
    Snapshot,
)
from libs.common.db import cursor
from libs.common.db.engine import Database
from libs.common.db.event_log import read_head
from libs.common.errors import NOT_FOUND, PresenceError
from libs.common.spaces import SpaceKey
from services.chat.messages import messages_repository as repository
from services.chat.messages.messages_repository import Page, Stored
from services.chat.rules.policy import Policy, require_same_space


class Reading:
    """What one may not see answers as if it did not exist."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database, self._policy = database, policy

    async def list_messages(self, caller: Caller, request: ListMessages) -> MessagePage:
        """A page, oldest first; without `after` it is the newest, and `next_cursor` goes back in time."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read() as connection:
            await self._policy.require(connection, caller, space, Action.ENTER)
            page = Page(space, request.subspace, request.limit, request.parent_message_id, q=request.q)
            page = await _bounded(connection, page, request)
            return _page_of(page, *await repository.page(connection, page))

    async def list_thread(self, caller: Caller, request: ListThread) -> MessagePage:
        """Replies, oldest first, towards newer ones."""
        async with self._database.read() as connection:
            parent = (await self._seen(connection, caller, request)).message
            page = Page(SpaceKey(parent.space_type, parent.space_id), parent.subspace, request.limit, parent.id)
            page = page.after(_position(request.cursor) if request.cursor else 0)
            return _page_of(page, *await repository.page(connection, page))

    async def get_message(self, caller: Caller, request: MessageId) -> MessageReply:
        async with self._database.read() as connection:
            return MessageReply((await self._seen(connection, caller, request)).message)

    async def history(self, caller: Caller, request: ListEdits) -> MessageHistory:
        """A page, oldest first."""
        after = cursor.decode_id(request.cursor) if request.cursor else None
        async with self._database.read() as connection:
            stored = await self._seen(connection, caller, request)
            edits, following = await repository.edits(connection, stored.message.id, after, request.limit)
        return MessageHistory(edits, following is not None, following and cursor.encode(following))

    async def _seen(
        self, connection: AsyncConnection, caller: Caller, request: MessageId | ListThread | ListEdits
    ) -> Stored:
        stored = await repository.get(connection, request.id)
        require_same_space(stored.space, request.space_type, request.space_id)
        await self._policy.require(connection, caller, stored.space, Action.ENTER)
        return stored

    async def snapshot(self, _: Caller, request: GetSnapshot) -> Snapshot:
        """The newest messages and the space's `seq`, both of one moment.

        Only realtime can ask: once for all who enter together, each of whom was authorised.
        """
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read(snapshot=True) as connection:
            seq = await read_head(connection, space)
            messages = (await repository.page(connection, Page(space, request.subspace, request.limit)))[0]
        return Snapshot(seq, messages)


async def _bounded(connection: AsyncConnection, page: Page, request: ListMessages) -> Page:
    """With a cursor the page goes on in the direction in which it began, up to the other bound if there is one."""
    if request.before:
        page = page.before(await _seq_of(connection, page.space, request.before))
    if request.after:
        page = page.after(await _seq_of(connection, page.space, request.after))
    if request.cursor:
        position = _position(request.cursor)
        page = page.after(position) if request.after else page.before(position)
    return page


def _position(text: str) -> int:
    return cursor.decode(text, tuple[cursor.Number])[0]


def _page_of(page: Page, messages: list[Message], has_more: bool) -> MessagePage:
    if not has_more:
        return MessagePage(messages, has_more, None)
    last = messages[0] if page.after_seq is None else messages[-1]
    return MessagePage(messages, has_more, cursor.encode(last.seq))


async def _seq_of(connection: AsyncConnection, space: SpaceKey, message_id: str) -> int:
    seq = await repository.seq_of(connection, space, message_id)
    if seq is None:
        raise PresenceError(NOT_FOUND, "There is no such message in this space.")
    return seq
