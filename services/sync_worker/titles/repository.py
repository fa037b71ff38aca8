"""SQL for the texts of posts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import String, cast, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.content import Post
from services.sync_worker.tables.table import Key


async def posts_without_title(connection: AsyncConnection, limit: int, excluding: Sequence[Key]) -> list[Key]:
    """Returns the newest posts without a title, except `excluding`."""
    authors, permlinks = ([key[place] for key in excluding] for place in (0, 1))
    pairs = func.unnest(_texts(authors), _texts(permlinks)).table_valued("author", "permlink").render_derived()
    statement = (
        select(Post.author, Post.permlink)
        .where(
            Post.title.is_(None),
            ~select(literal_column("1"))
            .select_from(pairs)
            .where(pairs.c.author == Post.author, pairs.c.permlink == Post.permlink)
            .exists(),
        )
        .order_by(Post.block.desc().nulls_last(), Post.author, Post.permlink)
        .limit(limit)
    )
    return [(row.author, row.permlink) for row in await connection.execute(statement)]


async def count_without_title(connection: AsyncConnection) -> int:
    statement = select(func.count()).select_from(Post).where(Post.title.is_(None))
    return (await connection.execute(statement)).scalar_one()


def _texts(values: Sequence[str]) -> Any:
    return cast(list(values), ARRAY(String))


async def save_title(
    connection: AsyncConnection, key: Key, title: str, description: str, created: datetime | None
) -> None:
    statement = update(Post).where(Post.author == key[0], Post.permlink == key[1])
    await connection.execute(statement.values(title=title, description=description, created_at=created))
