"""Reads messages: pages, threads, single ones, their history, and the snapshot for members who enter.

Nobody who writes waits for any of it: reads have connections of their own, and searches a few of theirs.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action
from libs.common.addresses import limited
from libs.common.bus.base import Caller, ForAll, told_to_all
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
from libs.common.tasks.turns import Turns
from services.chat.messages import edits_repository, messages_repository
from services.chat.messages import message_pages_repository as pages
from services.chat.messages.message_pages_repository import Page
from services.chat.messages.messages_repository import StoredMessage
from services.chat.rules.policy import Policy, require_same_space


class QueryHandlers:
    """Each raises `not_found` for messages that the caller may not see, as for those that do not exist."""

    def __init__(self, reads: Database, searches: Database, policy: Policy) -> None:
        self._reads = reads
        self._searches = searches
        self._policy = policy
        self._searching = Turns()

    async def list_messages(self, caller: Caller, request: ListMessages) -> MessagePage | ForAll[MessagePage]:
        """Returns a page, oldest first; without `after` it is the newest, and `next_cursor` goes back in time."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        database, turn = (self._searches, limited(caller.address)) if request.q else (self._reads, "")
        async with self._searching.of(turn), database.read() as connection:
            standing = await self._policy.require(connection, caller, space, Action.ENTER)
            page = Page(space, request.subspace, request.limit, request.parent_message_id, q=request.q)
            page = await _bounded(connection, page, request)
            found = _page_of(page, *await pages.read(connection, page))
        return told_to_all(caller, found, alike=not standing.by_address)

    async def list_thread(self, caller: Caller, request: ListThread) -> MessagePage:
        """Returns a page of replies, oldest first, towards newer ones."""
        async with self._reads.read() as connection:
            parent = (await require_visible(connection, self._policy, caller, request)).message
            page = Page(SpaceKey(parent.space_type, parent.space_id), parent.subspace, request.limit, parent.id)
            page = page.after(_position(request.cursor) if request.cursor else 0)
            return _page_of(page, *await pages.read(connection, page))

    async def get_message(self, caller: Caller, request: MessageId) -> MessageReply:
        """Returns one message."""
        async with self._reads.read() as connection:
            return MessageReply((await require_visible(connection, self._policy, caller, request)).message)

    async def history(self, caller: Caller, request: ListEdits) -> MessageHistory:
        """Returns a page of a message's former words, oldest first."""
        after = cursor.decode_id(request.cursor) if request.cursor else None
        async with self._reads.read() as connection:
            stored = await require_visible(connection, self._policy, caller, request)
            edits, following = await edits_repository.page(connection, stored.message.id, after, request.limit)
        return MessageHistory(edits, following is not None, following and cursor.encode(following))

    async def snapshot(self, _: Caller, request: GetSnapshot) -> Snapshot:
        """Returns the newest messages and the space's `seq`, both of one moment.

        Only realtime can ask: once for all members that enter together, each of whom was authorised.
        """
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._reads.read(snapshot=True) as connection:
            seq = await read_head(connection, space)
            messages = (await pages.read(connection, Page(space, request.subspace, request.limit)))[0]
        return Snapshot(seq, messages)


async def require_visible(
    connection: AsyncConnection, policy: Policy, caller: Caller, request: MessageId | ListThread | ListEdits
) -> StoredMessage:
    """Returns the message that the request names. Raises `not_found`, and as the policy does for entering its space."""
    stored = await messages_repository.get(connection, request.id)
    require_same_space(stored.space, request.space_type, request.space_id)
    await policy.require(connection, caller, stored.space, Action.ENTER)
    return stored


async def _bounded(connection: AsyncConnection, page: Page, request: ListMessages) -> Page:
    """Returns the page within the bounds of the request; a cursor continues in the direction in which it began."""
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
    seq = await pages.seq_of(connection, space, message_id)
    if seq is None:
        raise PresenceError(NOT_FOUND, "There is no such message in this space.")
    return seq
