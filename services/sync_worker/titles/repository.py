"""SQL for the texts of posts, and for when each is asked for again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import String, case, cast, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.content import Post, PostContent
from services.sync_worker.tables.table import Key
from services.sync_worker.titles.hive_posts import Texts


async def never_asked(connection: AsyncConnection, limit: int) -> list[Key]:
    """Returns the newest posts that Hive was not asked for yet; those of no known block come first."""
    statement = select(Post.author, Post.permlink).where(Post.asked_at.is_(None))
    return await _keys(connection, statement.order_by(Post.block.desc()).limit(limit))


async def due(connection: AsyncConnection, moment: datetime, limit: int) -> list[Key]:
    """Returns the posts that are to be asked for again by now, those that wait longest first."""
    statement = select(Post.author, Post.permlink).where(Post.due_at <= moment)
    return await _keys(connection, statement.order_by(Post.due_at).limit(limit))


async def askable(connection: AsyncConnection, keys: Sequence[Key], moment: datetime) -> list[Key]:
    """Returns those of `keys` that are posts of which nothing is known that still holds."""
    authors, permlinks = ([key[place] for key in keys] for place in (0, 1))
    pairs = func.unnest(_texts(authors), _texts(permlinks)).table_valued("author", "permlink").render_derived()
    statement = (
        select(Post.author, Post.permlink)
        .join(pairs, tuple_(pairs.c.author, pairs.c.permlink) == tuple_(Post.author, Post.permlink))
        .where(or_(Post.asked_at.is_(None), Post.due_at <= moment))
    )
    return await _keys(connection, statement)


async def block_of_newest(connection: AsyncConnection, count: int) -> int | None:
    """Returns the block of the post at that place among the newest; None where there are fewer."""
    statement = select(Post.block).where(Post.block.is_not(None)).order_by(Post.block.desc()).offset(count - 1).limit(1)
    return (await connection.execute(statement)).scalar_one_or_none()


async def count_without_title(connection: AsyncConnection) -> int:
    statement = select(func.count()).select_from(Post).where(Post.title.is_(None))
    return (await connection.execute(statement)).scalar_one()


async def save_texts(connection: AsyncConnection, key: Key, texts: Texts, moment: datetime, due_at: Any) -> None:
    """Keeps what Hive has of a post; it is asked for again at `due_at`, a time or an expression."""
    statement = update(Post).where(Post.author == key[0], Post.permlink == key[1])
    values = {"title": texts.title, "description": texts.description, "created_at": texts.created}
    saved = await connection.execute(statement.values(**values, asked_at=moment, due_at=due_at, misses=0))
    if not saved.rowcount:
        return  # the primary has deleted it meanwhile
    kept = {"body": texts.body, "details": msgspec.to_builtins(texts.details), "fetched_at": moment}
    added = insert(PostContent).values(author=key[0], permlink=key[1], **kept)
    await connection.execute(added.on_conflict_do_update(index_elements=("author", "permlink"), set_=kept))


def due_by_age(young_from: int | None, soon: datetime, late: datetime) -> Any:
    """Returns `soon` for posts from the block `young_from` on, or for all; else `late`."""
    return soon if young_from is None else case((Post.block >= young_from, soon), else_=late)


async def save_miss(connection: AsyncConnection, key: Key, moment: datetime, wait: timedelta, most: timedelta) -> None:
    """Remembers that Hive does not know a post. It is asked again after `wait`, four times that after each miss more,
    and `most` at most.
    """
    statement = update(Post).where(Post.author == key[0], Post.permlink == key[1])
    times = func.power(4, func.least(Post.misses, 10))
    seconds = func.least(wait.total_seconds() * times, most.total_seconds())
    due_at = literal(moment) + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    await connection.execute(statement.values(asked_at=moment, due_at=due_at, misses=Post.misses + 1))


async def _keys(connection: AsyncConnection, statement: Any) -> list[Key]:
    return [(row.author, row.permlink) for row in await connection.execute(statement)]


def _texts(values: Sequence[str]) -> Any:
    return cast(list(values), ARRAY(String))
