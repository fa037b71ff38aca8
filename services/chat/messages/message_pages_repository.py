"""SQL of pages of messages, and of searching in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, cast, literal_column, select
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.chat import Message
from libs.common.db.engine import was_cut_off
from libs.common.db.models.chat import ChatMessage
from libs.common.db.search import tsquery
from libs.common.errors import INVALID_INPUT, PresenceError
from libs.common.ids import earliest_after
from libs.common.spaces import SpaceKey
from services.chat.messages.messages_repository import STORED, stored_message

WINDOW = 2000  # messages; reading so many takes some 20 ms
LONGEST_SEARCH_MS = 1000
_SEARCHING = sql("""
SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
  set_config('max_parallel_workers_per_gather', '0', true), set_config('statement_timeout', :milliseconds, true)
""")


@dataclass(frozen=True, slots=True)
class Page:
    """The bounds of a page: the newest `limit` messages below `before_seq`, or the oldest above `after_seq`."""

    space: SpaceKey
    subspace: str
    limit: int
    thread: str | None = None
    before_seq: int | None = None
    after_seq: int | None = None
    q: str | None = None

    def before(self, seq: int) -> "Page":
        """Returns the page of messages below `seq`."""
        return replace(self, before_seq=seq)

    def after(self, seq: int) -> "Page":
        """Returns the page of messages above `seq`."""
        return replace(self, after_seq=seq)


async def seq_of(connection: AsyncConnection, space: SpaceKey, message_id: str) -> int | None:
    """Returns the message's `seq`; None if it is not in the space."""
    statement = _in(space).where(ChatMessage.id == message_id).with_only_columns(ChatMessage.seq)
    seq: int | None = (await connection.execute(statement)).scalar_one_or_none()
    return seq


async def read(connection: AsyncConnection, page: Page) -> tuple[list[Message], bool]:
    """Returns the messages of a page, oldest first; true if there are more beyond it."""
    statement = _in(page.space).where(ChatMessage.subspace == page.subspace)
    if page.thread:  # a reply is younger than its parent, so older months need not be read
        statement = statement.where(
            ChatMessage.parent_message_id == page.thread, ChatMessage.id > earliest_after(page.thread)
        )
    if page.before_seq is not None:
        statement = statement.where(ChatMessage.seq < page.before_seq)
    if page.after_seq is not None:
        statement = statement.where(ChatMessage.seq > page.after_seq)
    newest_first = page.after_seq is None
    rows = await _search(connection, statement, page) if page.q else await _ordered(connection, statement, page)
    messages = [stored_message(row).message for row in rows[: page.limit]]
    return (messages[::-1] if newest_first else messages), len(rows) > page.limit


async def _ordered(connection: AsyncConnection, statement: Select[Any], page: Page) -> Sequence[Row[Any]]:
    order = ChatMessage.seq.asc() if page.after_seq is not None else ChatMessage.seq.desc()
    rows: Sequence[Row[Any]] = (await connection.execute(statement.order_by(order).limit(page.limit + 1))).all()
    return rows


async def _search(connection: AsyncConnection, statement: Select[Any], page: Page) -> Sequence[Row[Any]]:
    """Returns messages with the words of `q`: first those among the nearest `WINDOW` messages, then by the index.

    A common word is found among the nearest, a rare one in the index. PostgreSQL cannot know which it is, and taking a
    rare word for a common one would read the whole space. `seq + 0` keeps it from walking along `seq`. Raises
    `invalid_input` for words that even the index does not find soon.
    """
    query = await tsquery(connection, page.q or "")
    if not query:
        return []
    forwards = page.after_seq is not None
    ordered = statement.order_by(ChatMessage.seq.asc() if forwards else ChatMessage.seq.desc())
    near = ordered.add_columns(ChatMessage.search).limit(WINDOW).subquery()
    first = select(*(near.c[column.key] for column in STORED)).where(_has(near.c.search, query))
    first = first.order_by(near.c.seq if forwards else near.c.seq.desc())
    rows: Sequence[Row[Any]] = (await connection.execute(first.limit(page.limit + 1))).all()
    if len(rows) > page.limit or not await _goes_on(connection, ordered):
        return rows
    seq: ColumnElement[Any] = ChatMessage.seq + literal_column("0")
    by_index = statement.where(_has(ChatMessage.search, query)).order_by(seq if forwards else seq.desc())
    return await _in_time(connection, by_index.limit(page.limit + 1))


async def _goes_on(connection: AsyncConnection, ordered: Select[Any]) -> bool:
    """Returns true if there are messages beyond the window."""
    beyond = ordered.with_only_columns(ChatMessage.seq).offset(WINDOW).limit(1)
    return (await connection.execute(beyond)).scalar_one_or_none() is not None


async def _in_time(connection: AsyncConnection, statement: Select[Any]) -> Sequence[Row[Any]]:
    """Executes a search within `LONGEST_SEARCH_MS`, since a phrase or an exclusion can make it read every row.

    It is planned for these very words: a connection that has searched before would use one plan for all. It runs
    without parallel workers: PostgreSQL expects more hits than there are, and starting workers takes longer than
    reading the hits. Raises `invalid_input` when the time is over.
    """
    await connection.execute(_SEARCHING, {"milliseconds": str(LONGEST_SEARCH_MS)})
    try:
        rows: Sequence[Row[Any]] = (await connection.execute(statement)).all()
    except DBAPIError as error:
        if not was_cut_off(error):
            raise
        details = {"fields": {"q": ["Takes too long here."]}}
        raise PresenceError(INVALID_INPUT, "Too much to look through; add a rarer word.", details) from error
    return rows


def _has(terms: Any, query: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = terms.op("@@", is_comparison=True)(cast(query, TSQUERY))
    return found


def _in(space: SpaceKey) -> Select[Any]:
    statement: Any = select(*STORED)
    return statement.where(ChatMessage.space_type == space.space_type, ChatMessage.space_id == space.space_id)  # type: ignore[no-any-return]
