"""SQL that finds spaces in the replicated content."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.spaces import SpaceKey

# Content that the account may see, as one shape: what is public, one's own, and where one was given a
# role. The policy (access.py) is asked again on entry.
_GIVEN = """
SELECT space_type, space_id FROM presence_permissions WHERE account = :account
UNION SELECT space_type, space_id FROM space_roles WHERE account = :account
UNION SELECT 'document', space_id FROM collaboration_permissions WHERE account = :account
"""
_CONTENT = """
SELECT 'post' AS space_type, author || '/' || permlink AS space_id, coalesce(title, permlink) AS display_name,
       coalesce(description, '') AS description, type, author AS creator, votes, rating::float8 AS rating, created_at
FROM posts
WHERE (NOT hidden AND NOT flagged) OR :operator OR author = :account
   OR ('post', author || '/' || permlink) IN (SELECT space_type, space_id FROM given)
UNION ALL
SELECT 'document', space_id, coalesce(nullif(title, ''), space_id), '', 'document', creator, 0, 0, created_at
FROM collaboration_documents
WHERE NOT is_deleted AND (is_public OR :operator OR creator = :account
   OR ('document', space_id) IN (SELECT space_type, space_id FROM given))
"""
_ACTIVE = """
SELECT * FROM unnest(cast(:active_types AS text[]), cast(:active_ids AS text[]), cast(:active_counts AS int[]))
  AS a(space_type, space_id, users)
"""
_MATCHES = """
(cast(:type AS text) IS NULL OR content.type = :type)
AND (cast(:space_type AS text) IS NULL OR space_type = :space_type)
AND (cast(:q AS text) IS NULL OR display_name ILIKE :q OR description ILIKE :q OR creator = :word)
"""
_ORDERS = {
    "active": "coalesce(active.users, 0) DESC, votes DESC, space_type, space_id",
    "recent": "created_at DESC NULLS LAST, space_type, space_id",
    "votes": "votes DESC, space_type, space_id",
}


@dataclass(frozen=True, slots=True)
class Search:
    """Filters and the window of one page; `account` is empty for a guest."""

    account: str
    operator: bool
    type: str | None
    space_type: str | None
    q: str | None
    sort: str
    limit: int
    offset: int


async def find(
    connection: AsyncConnection, search: Search, active: Mapping[SpaceKey, int]
) -> tuple[list[Row[Any]], int]:
    """Rows of one page, and how many match in all."""
    query = f"""
        WITH given AS ({_GIVEN}), content AS ({_CONTENT}), active AS ({_ACTIVE})
        SELECT content.*, coalesce(active.users, 0) AS active_users, s.max_users, to_jsonb(s) AS settings,
               count(*) OVER () AS total
        FROM content
        LEFT JOIN active USING (space_type, space_id)
        LEFT JOIN presence_space_settings s USING (space_type, space_id)
        WHERE {_MATCHES}
        ORDER BY {_ORDERS[search.sort]}
        LIMIT :limit OFFSET :offset
    """  # noqa: S608  the order is one of ours
    parameters = {
        **_wanted(search),
        "limit": search.limit,
        "offset": search.offset,
        "active_types": [space.space_type for space in active],
        "active_ids": [space.space_id for space in active],
        "active_counts": list(active.values()),
    }
    rows = list((await connection.execute(text(query), parameters)).all())
    return rows, rows[0].total if rows else await _count(connection, search)


async def _count(connection: AsyncConnection, search: Search) -> int:
    """How many match, for a page that is empty: beyond the end, or all lobby."""
    query = f"WITH given AS ({_GIVEN}), content AS ({_CONTENT}) SELECT count(*) FROM content WHERE {_MATCHES}"  # noqa: S608
    return int((await connection.execute(text(query), _wanted(search))).scalar_one())


def _wanted(search: Search) -> dict[str, Any]:
    return {
        "account": search.account,
        "operator": search.operator,
        "type": search.type,
        "space_type": search.space_type,
        "q": _pattern(search.q),
        "word": search.q or "",
    }


def _pattern(words: str | None) -> str | None:
    if words is None:
        return None
    escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


async def content_of(connection: AsyncConnection, space: SpaceKey) -> Row[Any] | None:
    """Title and so on of one space's content, whoever may see it; None where no content is behind it."""
    tables = {
        "post": """SELECT coalesce(title, permlink) AS display_name, coalesce(description, '') AS description, type,
                   author AS creator, votes, rating::float8 AS rating, created_at FROM posts
                   WHERE author = split_part(:space_id, '/', 1) AND permlink = split_part(:space_id, '/', 2)""",
        "document": """SELECT coalesce(nullif(title, ''), space_id) AS display_name, '' AS description,
                       'document' AS type, creator, 0 AS votes, 0::float8 AS rating, created_at
                       FROM collaboration_documents WHERE space_id = :space_id""",
    }
    query = tables.get(space.space_type)
    if query is None:
        return None
    return (await connection.execute(text(query), {"space_id": space.space_id})).one_or_none()
