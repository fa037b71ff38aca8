"""SQL of messages: writing, changing and paging them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, any_, bindparam, delete, func, literal_column, select, update
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.contracts.chat import Edit, Message
from libs.common.db.engine import was_cut_off
from libs.common.db.models.chat import ChatMessage, ChatMessageEdit, MessageReaction, Notification
from libs.common.errors import INVALID_INPUT, NOT_FOUND, PresenceError
from libs.common.ids import earliest_after, new_id
from libs.common.spaces import SpaceKey


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as it is kept: with whose it is."""

    message: Message
    author_key: str

    @property
    def space(self) -> SpaceKey:
        return SpaceKey(self.message.space_type, self.message.space_id)


@dataclass(frozen=True, slots=True)
class Page:
    """Which messages: the newest `limit` below `before_seq`, or the oldest above `after_seq`."""

    space: SpaceKey
    subspace: str
    limit: int
    thread: str | None = None
    before_seq: int | None = None
    after_seq: int | None = None
    q: str | None = None

    def before(self, seq: int) -> "Page":
        return replace(self, before_seq=seq)

    def after(self, seq: int) -> "Page":
        return replace(self, after_seq=seq)


_COPIED = (
    ChatMessage.id, ChatMessage.seq, ChatMessage.space_type, ChatMessage.space_id, ChatMessage.subspace,
    ChatMessage.user_account, ChatMessage.display_name, ChatMessage.message_type, ChatMessage.content,
    ChatMessage.parent_message_id, ChatMessage.thread_count, ChatMessage.reactions, ChatMessage.mentions,
    ChatMessage.is_edited, ChatMessage.is_deleted, ChatMessage.client_message_id, ChatMessage.created_at,
    ChatMessage.updated_at,
)  # fmt: skip
_STORED = (*_COPIED, ChatMessage.author_key)


# Writing


async def insert(connection: AsyncConnection, messages: Sequence[Stored]) -> None:
    rows = [
        {"author_key": one.author_key, **{column.key: getattr(one.message, column.key) for column in _COPIED}}
        for one in messages
    ]
    await connection.execute(pg_insert(ChatMessage), rows)


async def count_replies(connection: AsyncConnection, replies: Mapping[str, int]) -> None:
    """Raise the `thread_count` of messages that are locked."""
    if replies:
        given = {"ids": list(replies), "counts": list(replies.values())}
        await connection.execute(_COUNT_REPLIES, given)


_COUNT_REPLIES = sql("""
UPDATE chat_messages SET thread_count = thread_count + replies.count
FROM unnest(CAST(:ids AS uuid[]), CAST(:counts AS integer[])) AS replies(id, count) WHERE chat_messages.id = replies.id
""")


async def take_turns(
    connection: AsyncConnection, space: SpaceKey, author_keys: Sequence[str], seconds: int
) -> dict[str, float]:
    """Note that the authors write now. Those for whom that is too soon, with the seconds still to wait."""
    given = {**asdict(space), "author_keys": list(author_keys), "seconds": seconds}
    taken = set((await connection.execute(_TAKE_TURNS, given)).scalars())
    late = [author for author in author_keys if author not in taken]
    if not late:
        return {}
    rows = await connection.execute(_WAITS, {**given, "author_keys": late})
    return {row.author_key: max(float(row.wait), 0.0) for row in rows}


# In the order of the key, so that two batches cannot wait for each other.
_TAKE_TURNS = sql("""
INSERT INTO chat_pace AS pace (space_type, space_id, author_key, posted_at)
SELECT :space_type, :space_id, author_key, now() FROM unnest(CAST(:author_keys AS text[])) AS author_key
ORDER BY author_key
ON CONFLICT (space_type, space_id, author_key) DO UPDATE SET posted_at = now()
  WHERE pace.posted_at <= now() - make_interval(secs => :seconds)
RETURNING author_key
""")
_WAITS = sql("""
SELECT author_key, :seconds - extract(epoch FROM now() - posted_at) AS wait FROM chat_pace
WHERE space_type = :space_type AND space_id = :space_id AND author_key = ANY(CAST(:author_keys AS text[]))
""")


# One message


async def lock(connection: AsyncConnection, message_id: str) -> Stored:
    """The message, its row locked until the transaction ends. Raises `not_found`."""
    return await _one(connection, _stored(message_id).with_for_update())


async def lock_all(connection: AsyncConnection, message_ids: Collection[str]) -> dict[str, Stored]:
    """Those messages that there are, locked: the youngest first, as a deletion locks a reply and then its parent."""
    if not message_ids:
        return {}
    statement = _among(message_ids).order_by(ChatMessage.id.desc()).with_for_update()
    return {row.id: _read(row) for row in await connection.execute(statement)}


async def get_all(connection: AsyncConnection, message_ids: Collection[str]) -> dict[str, Stored]:
    """Those messages that there are."""
    if not message_ids:
        return {}
    return {row.id: _read(row) for row in await connection.execute(_among(message_ids))}


def _among(message_ids: Collection[str]) -> Select[Any]:
    ids: ColumnElement[Any] = bindparam(None, list(message_ids), ARRAY(ChatMessage.id.type))
    return select(*_STORED).where(ChatMessage.id == any_(ids))


async def get(connection: AsyncConnection, message_id: str) -> Stored:
    """Raises `not_found`."""
    return await _one(connection, _stored(message_id))


def _stored(message_id: str) -> Select[Any]:
    return select(*_STORED).where(ChatMessage.id == message_id)


async def _one(connection: AsyncConnection, statement: Select[Any]) -> Stored:
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise PresenceError(NOT_FOUND)
    return _read(row)


def _read(row: Row[Any]) -> Stored:
    stored = row._asdict()
    author_key = stored.pop("author_key")
    return Stored(_message(stored, author_key), author_key)


async def edit(connection: AsyncConnection, before: Message, after: Message, by: str) -> None:
    """Keep what the message said, and store what it says."""
    former = {"message_id": before.id, "id": new_id(), "content": before.content, "edited_by": by}
    await connection.execute(pg_insert(ChatMessageEdit).values(**former, edited_at=after.updated_at))
    await _update(
        connection, after, content=after.content, mentions=after.mentions, is_edited=True, updated_at=after.updated_at
    )


async def erase(connection: AsyncConnection, after: Message, by: str) -> None:
    """Leave a tombstone: the words, their history, the reactions and who was told of it are gone."""
    for table, column in (
        (ChatMessageEdit, ChatMessageEdit.message_id),
        (MessageReaction, MessageReaction.message_id),
        (Notification, Notification.message_id),
    ):
        await connection.execute(delete(table).where(column == after.id))
    await _update(
        connection, after, content=None, mentions=[], reactions={}, is_deleted=True, deleted_by=by,
        updated_at=after.updated_at,
    )  # fmt: skip
    if after.parent_message_id:
        counted = {"thread_count": ChatMessage.thread_count - 1}
        await connection.execute(update(ChatMessage).where(ChatMessage.id == after.parent_message_id).values(**counted))


async def _update(connection: AsyncConnection, message: Message, **values: Any) -> None:
    await connection.execute(update(ChatMessage).where(ChatMessage.id == message.id).values(**values))


async def edits(
    connection: AsyncConnection, message_id: str, after: str | None, limit: int
) -> tuple[list[Edit], str | None]:
    """What it said before, oldest first, and the id to go on after if there is more."""
    statement = select(*_EDIT).where(ChatMessageEdit.message_id == message_id)
    if after:
        statement = statement.where(ChatMessageEdit.id > after)
    rows = (await connection.execute(statement.order_by(ChatMessageEdit.id).limit(limit + 1))).all()
    return read_edits(rows, limit)


_EDIT = (ChatMessageEdit.id, ChatMessageEdit.content, ChatMessageEdit.edited_by, ChatMessageEdit.edited_at)


def read_edits(rows: Sequence[Any], limit: int) -> tuple[list[Edit], str | None]:
    """A page of rows that begin with an id, of which one more than `limit` was asked for, and where it goes on."""
    following = rows[limit - 1].id if len(rows) > limit else None
    return [Edit(row.content, row.edited_by, row.edited_at) for row in rows[:limit]], following


# Reactions


async def set_reaction(connection: AsyncConnection, stored: Stored, who: str, name: str, emoji: str) -> bool:
    """Whether that is new."""
    values = {"message_id": stored.message.id, "author_key": who, "reaction": emoji, "display_name": name}
    statement = pg_insert(MessageReaction).values(**values).on_conflict_do_nothing()
    return (await connection.execute(statement)).rowcount == 1


async def unset_reaction(connection: AsyncConnection, stored: Stored, who: str, emoji: str) -> bool:
    """Whether it was there."""
    statement = delete(MessageReaction).where(
        MessageReaction.message_id == stored.message.id,
        MessageReaction.author_key == who,
        MessageReaction.reaction == emoji,
    )
    return (await connection.execute(statement)).rowcount == 1


async def sum_up(connection: AsyncConnection, message: Message, emoji: str, shown: int) -> dict[str, Any]:
    """All reactions of the message, that emoji's counted anew. The message's row must be locked."""
    first: ColumnElement[Any] = func.array_agg(literal_column("display_name ORDER BY created_at, author_key")).label(
        "names"
    )
    statement = select(func.count().label("count"), first).where(
        MessageReaction.message_id == message.id, MessageReaction.reaction == emoji
    )
    row = (await connection.execute(statement)).mappings().one()
    reactions = {name: told for name, told in message.reactions.items() if name != emoji}
    if row["count"]:
        reactions[emoji] = {"count": row["count"], "by": row["names"][:shown]}
    await _update(connection, message, reactions=reactions)
    return reactions


# Paging


async def seq_of(connection: AsyncConnection, space: SpaceKey, message_id: str) -> int | None:
    statement = _in(space).where(ChatMessage.id == message_id).with_only_columns(ChatMessage.seq)
    seq: int | None = (await connection.execute(statement)).scalar_one_or_none()
    return seq


async def page(connection: AsyncConnection, page: Page) -> tuple[list[Message], bool]:
    """Messages, oldest first, and whether there are more beyond the page."""
    statement = _in(page.space).where(ChatMessage.subspace == page.subspace)
    if page.thread:  # a reply is younger than what it answers, so older months need not be looked at
        statement = statement.where(
            ChatMessage.parent_message_id == page.thread, ChatMessage.id > earliest_after(page.thread)
        )
    if page.before_seq is not None:
        statement = statement.where(ChatMessage.seq < page.before_seq)
    if page.after_seq is not None:
        statement = statement.where(ChatMessage.seq > page.after_seq)
    newest_first = page.after_seq is None
    rows = await _found(connection, statement, page) if page.q else await _ordered(connection, statement, page)
    messages = [_read(row).message for row in rows[: page.limit]]
    return (messages[::-1] if newest_first else messages), len(rows) > page.limit


async def _ordered(connection: AsyncConnection, statement: Select[Any], page: Page) -> Sequence[Row[Any]]:
    order = ChatMessage.seq.asc() if page.after_seq is not None else ChatMessage.seq.desc()
    rows: Sequence[Row[Any]] = (await connection.execute(statement.order_by(order).limit(page.limit + 1))).all()
    return rows


async def _found(connection: AsyncConnection, statement: Select[Any], page: Page) -> Sequence[Row[Any]]:
    """Messages with the words of `q`: a common word is among the nearest `WINDOW` messages, a rare one in the index.

    PostgreSQL cannot know which it is, and taking a rare word for a common one would read the whole space. `seq + 0`
    keeps it from walking along `seq`. Raises `invalid_input` for what not even the index finds soon.
    """
    forwards = page.after_seq is not None
    ordered = statement.order_by(ChatMessage.seq.asc() if forwards else ChatMessage.seq.desc())
    near = ordered.limit(WINDOW).subquery()
    first = select(near).where(_has(near.c.content, page)).order_by(near.c.seq if forwards else near.c.seq.desc())
    rows: Sequence[Row[Any]] = (await connection.execute(first.limit(page.limit + 1))).all()
    if len(rows) > page.limit or not await _goes_on(connection, ordered):
        return rows
    seq: ColumnElement[Any] = ChatMessage.seq + literal_column("0")
    by_index = statement.where(_has(ChatMessage.content, page)).order_by(seq if forwards else seq.desc())
    return await _in_time(connection, by_index.limit(page.limit + 1))


async def _goes_on(connection: AsyncConnection, ordered: Select[Any]) -> bool:
    """Whether there is anything beyond the window."""
    beyond = ordered.with_only_columns(ChatMessage.seq).offset(WINDOW).limit(1)
    return (await connection.execute(beyond)).scalar_one_or_none() is not None


async def _in_time(connection: AsyncConnection, statement: Select[Any]) -> Sequence[Row[Any]]:
    """Planned for these very words, since a connection that has searched before would take the same plan for all.

    Without parallel workers, which PostgreSQL starts for more hits than there are, and which take longer to start than
    a word's hits to be read; and not for long, since a phrase or an exclusion can be a question to every row.
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


_SEARCHING = sql("""
SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
  set_config('max_parallel_workers_per_gather', '0', true), set_config('statement_timeout', :milliseconds, true)
""")


def _has(content: Any, page: Page) -> ColumnElement[bool]:
    query = func.websearch_to_tsquery(_SIMPLE, page.q)
    return func.to_tsvector(_SIMPLE, content).op("@@", is_comparison=True)(query)


WINDOW = 2000  # messages; reading so many takes some 20 ms
LONGEST_SEARCH_MS = 1000
_SIMPLE: Any = literal_column("'simple'::regconfig")  # as in the index; words of any language, as they are written


def _in(space: SpaceKey) -> Select[Any]:
    statement: Any = select(*_STORED)
    return statement.where(ChatMessage.space_type == space.space_type, ChatMessage.space_id == space.space_id)  # type: ignore[no-any-return]


def _message(stored: dict[str, Any], author_key: str) -> Message:
    """A deleted message stays as a tombstone without content. Not all without an account are guests: services write."""
    if stored["is_deleted"]:
        stored["content"] = None
    return Message(**stored, guest=author_key.startswith("guest:"))


def tombstone(message: Message, moment: datetime) -> Message:
    """The message as it is left when its words are taken back."""
    return replace(message, content=None, mentions=[], reactions={}, is_deleted=True, updated_at=moment)
