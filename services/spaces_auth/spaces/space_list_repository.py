"""SQL of lists of spaces: pages by key, each arm of the union walking its own index.

Public posts and documents are two arms, those that only the caller may see two more; every arm is ordered and cut off
by itself, so a page costs the same wherever it is (plans and figures: docs/spaces.md). A position is (rank, kind, a,
b): `rank` is `-votes` or minus the time, `kind` 0 for documents and 1 for posts, `a` and `b` author and permlink, or
the document's id and nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.search import tsquery
from libs.common.spaces import SpaceKey

FEW = 4000  # hits of a search: so many are read and sorted; with more, walking the index in order meets one sooner
UNKNOWN = 0.0075  # a share of rows; PostgreSQL assumes 0.005 for a word that its statistics do not have
COUNTED = 1000  # spaces that `total` counts; beyond, it is PostgreSQL's estimate
_FOUND = "search @@ CAST(:words AS tsquery)"
type Position = tuple[int, int, str, str]


@dataclass(frozen=True, slots=True)
class Search:
    """The filters and the order of a list. `account` is empty for a guest; `rank` is by_votes or by_time."""

    account: str = ""
    operator: bool = False
    type: str | None = None
    space_type: str | None = None
    q: str | None = None
    rank: str = "by_votes"
    words: str = ""  # what `q` asks, as a tsquery; `probed` finds it
    estimate: int = 0  # hits of the words where they are common
    rare_in: frozenset[str] = frozenset()  # tables in which the hits are read and sorted, not met in order

    @property
    def parameters(self) -> dict[str, Any]:
        """The values that every statement of this search binds."""
        return {"account": self.account, "type": self.type, "words": self.words}


@dataclass(frozen=True, slots=True)
class _Source:
    """A table as spaces: its columns under common names."""

    kind: int
    table: str
    key: tuple[str, ...]
    columns: str
    position: str  # those of the columns that a position is made of
    public: str
    own: str  # the condition of rows that are not public but that the account may see


_POSTS = _Source(
    1,
    "posts",
    ("author", "permlink"),
    """'post' AS space_type, author || '/' || permlink AS space_id, coalesce(title, permlink) AS display_name,
       coalesce(description, '') AS description, type, author AS creator, votes, rating::float8 AS rating, created_at,
       author AS a, permlink AS b""",
    "author AS a, permlink AS b",
    "NOT hidden AND NOT flagged",
    """(author, permlink) IN (
         SELECT split_part(space_id, '/', 1), split_part(space_id, '/', 2) FROM presence_permissions
           WHERE account = :account AND space_type = 'post'
         UNION SELECT split_part(space_id, '/', 1), split_part(space_id, '/', 2) FROM space_roles
           WHERE account = :account AND space_type = 'post'
         UNION SELECT author, permlink FROM posts WHERE author = :account)""",
)
_DOCUMENTS = _Source(
    0,
    "collaboration_documents",
    ("space_id",),
    """'document' AS space_type, space_id, coalesce(nullif(title, ''), space_id) AS display_name, '' AS description,
       'document' AS type, creator, 0::bigint AS votes, 0::float8 AS rating, created_at, space_id AS a, '' AS b""",
    "space_id AS a, '' AS b",
    "is_public AND NOT is_deleted",
    """NOT is_deleted AND space_id IN (
         SELECT space_id FROM presence_permissions WHERE account = :account AND space_type = 'document'
         UNION SELECT space_id FROM space_roles WHERE account = :account AND space_type = 'document'
         UNION SELECT space_id FROM collaboration_permissions WHERE account = :account
         UNION SELECT space_id FROM collaboration_documents WHERE creator = :account)""",
)
_ALL_PRIVATE = {_POSTS: "true", _DOCUMENTS: "NOT is_deleted"}


_read_once = lru_cache(256)(text)
"""Reads a statement for its parameters once: there are as many as there are forms of a search."""


async def probed(connection: AsyncConnection, search: Search) -> Search:
    """Returns the search with its words, and the tables in which they are rare by PostgreSQL's statistics of words."""
    if search.q is None:
        return search
    search = replace(search, words=await tsquery(connection, search.q))
    if not search.words:
        return search
    common = {}
    for table, public in {source.table: source.public for source, _ in _arms(search)}.items():
        rows = await _estimate(connection, f"SELECT 1 FROM {table} WHERE {public}", search)  # noqa: S608
        hits = await _estimate(connection, f"SELECT 1 FROM {table} WHERE {public} AND {_FOUND}", search)  # noqa: S608
        common[table] = hits if hits > max(FEW, rows * UNKNOWN) else 0
    rare = frozenset(table for table, hits in common.items() if not hits)
    return replace(search, rare_in=rare, estimate=sum(common.values()))


async def _estimate(connection: AsyncConnection, query: str, search: Search) -> int:
    """Returns how many rows PostgreSQL expects of `query`."""
    plan: Any = (await connection.execute(_read_once(f"EXPLAIN (FORMAT JSON) {query}"), search.parameters)).scalar_one()
    (root,) = msgspec.json.decode(plan) if isinstance(plan, str) else plan
    return int(root["Plan"]["Plan Rows"])


async def page(
    connection: AsyncConnection,
    search: Search,
    after: Position | None,
    excluded: Sequence[SpaceKey],
    limit: int,
    offset: int,
) -> list[Row[Any]]:
    """Returns at most `limit` rows after a position and `offset` more, without `excluded`.

    `rank`, `kind`, `a` and `b` of a row are its position.
    """
    if limit <= 0:
        return []
    if offset:
        after = await _skipped(connection, search, after, excluded, offset)
        if after is None:
            return []
    arms = [_ordered(source, source.columns, visible, search, after, excluded) for source, visible in _arms(search)]
    if not arms:
        return []
    statement = f"""
        SELECT found.*, to_jsonb(s) AS settings
        FROM (SELECT * FROM ({" UNION ALL ".join(arms)}) arms ORDER BY rank, kind, a, b LIMIT :most) found
        LEFT JOIN presence_space_settings s USING (space_type, space_id)
        ORDER BY rank, kind, a, b
    """  # noqa: S608  what is put in is ours
    values = {**search.parameters, **_excluded_values(excluded), **_place(after), "most": limit}
    return list((await connection.execute(_read_once(statement), values)).all())


async def _skipped(
    connection: AsyncConnection, search: Search, after: Position | None, excluded: Sequence[SpaceKey], offset: int
) -> Position | None:
    """Returns the position of the last of `offset` rows, read from the indexes alone; None beyond the end."""
    arms = [_ordered(source, source.position, visible, search, after, excluded) for source, visible in _arms(search)]
    if not arms:
        return None
    statement = f"""
        SELECT rank, kind, a, b FROM ({" UNION ALL ".join(arms)}) arms ORDER BY rank, kind, a, b LIMIT 1 OFFSET :skip
    """  # noqa: S608  what is put in is ours
    values = {**search.parameters, **_excluded_values(excluded), **_place(after), "most": offset, "skip": offset - 1}
    row = (await connection.execute(_read_once(statement), values)).one_or_none()
    return (row.rank, row.kind, row.a, row.b) if row else None


def _place(after: Position | None) -> dict[str, Any]:
    return dict(zip(("rank", "kind", "a", "b"), after, strict=True)) if after else {}


async def matching(
    connection: AsyncConnection, search: Search, spaces: Sequence[SpaceKey], limit: int
) -> list[Row[Any]]:
    """Returns rows of at most `limit` of `spaces` that the search matches, in their order; `place` is the index."""
    arms = [
        f"""SELECT place, {source.columns} FROM unnest(cast(:types AS text[]), cast(:ids AS text[]))
              WITH ORDINALITY AS wanted(wanted_type, wanted_id, place)
            JOIN {source.table} ON {_is_wanted(source)}
            WHERE ({visible}) AND {_matches(source, search)}"""  # noqa: S608  what is put in is ours
        for source, visible in _arms(search)
    ]
    if not arms or not spaces:
        return []
    statement = f"""
        SELECT found.*, to_jsonb(s) AS settings FROM ({" UNION ALL ".join(arms)}) found
        LEFT JOIN presence_space_settings s USING (space_type, space_id) ORDER BY place LIMIT :limit
    """  # noqa: S608  what is put in is ours
    values = {
        **search.parameters,
        "types": [space.space_type for space in spaces],
        "ids": [space.space_id for space in spaces],
        "limit": limit,
    }
    return list((await connection.execute(_read_once(statement), values)).all())


async def total(connection: AsyncConnection, search: Search) -> int:
    """Returns how many spaces the search matches: exact up to `COUNTED`, estimated beyond."""
    arms = [
        f"SELECT 1 FROM {_read(source, search)} WHERE ({visible}) AND {_matches(source, search)}"  # noqa: S608
        for source, visible in _arms(search)
    ]
    if not arms:
        return 0
    if search.estimate:
        return search.estimate
    union = " UNION ALL ".join(arms)
    counting = f"SELECT count(*) FROM (SELECT 1 FROM ({union}) arms LIMIT {COUNTED + 1}) counted"  # noqa: S608
    counted = int((await connection.execute(_read_once(counting), search.parameters)).scalar_one())
    if counted <= COUNTED:
        return counted
    return max(counted, await _estimate(connection, union, search))


_EVENTS = text("""
SELECT 'event' AS space_type, e.id AS space_id, title AS display_name, description, 'event' AS type, host AS creator,
  0::bigint AS votes, 0::float8 AS rating, e.created_at, to_jsonb(s) AS settings
FROM scheduled_events e LEFT JOIN presence_space_settings s ON (s.space_type, s.space_id) = ('event', e.id)
WHERE (e.space_type, e.space_id) = ('event', e.id) AND cancelled_at IS NULL AND closes_at > now()
  AND (e.id = ANY (cast(:ids AS text[])) OR e.id IN (
    SELECT id FROM scheduled_events WHERE ends_at > now() AND cancelled_at IS NULL ORDER BY starts_at, id LIMIT :limit))
  AND (:operator OR access <> 'list' OR host = :account OR EXISTS (
    SELECT FROM space_roles r WHERE (r.space_type, r.space_id, r.account) = ('event', e.id, :account)))
""")
_COMMUNITIES = text("""
SELECT 'community' AS space_type, name AS space_id, title AS display_name, about AS description, 'community' AS type,
  NULL AS creator, 0::bigint AS votes, 0::float8 AS rating, NULL::timestamptz AS created_at, to_jsonb(s) AS settings
FROM communities LEFT JOIN presence_space_settings s ON (s.space_type, s.space_id) = ('community', name)
WHERE name = ANY (cast(:ids AS text[])) OR name IN (SELECT name FROM communities ORDER BY name LIMIT :limit)
""")


async def events(
    connection: AsyncConnection, search: Search, spaces: Collection[SpaceKey], limit: int
) -> dict[SpaceKey, Row[Any]]:
    """Returns events that are not over and communities, by space: those of `spaces`, and of each kind `limit` more."""
    found: dict[SpaceKey, Row[Any]] = {}
    for kind, statement in (("event", _EVENTS), ("community", _COMMUNITIES)):
        if search.space_type in (None, kind):
            values = {"ids": [space.space_id for space in spaces if space.space_type == kind], "limit": limit}
            if kind == "event":
                values |= {"account": search.account, "operator": search.operator}
            rows = await connection.execute(statement, values)
            found |= {SpaceKey(row.space_type, row.space_id): row for row in rows}
    return found


def _arms(search: Search) -> list[tuple[_Source, str]]:
    """Returns the tables to read, each with the condition of a row that the caller may see."""
    arms: list[tuple[_Source, str]] = []
    for source, name in ((_POSTS, "post"), (_DOCUMENTS, "document")):
        wanted = search.type is None or (search.type == "document") == (source is _DOCUMENTS)
        if not wanted or search.space_type not in (None, name):
            continue
        arms.append((source, source.public))
        if search.operator:
            arms.append((source, f"NOT ({source.public}) AND {_ALL_PRIVATE[source]}"))
        elif search.account:
            arms.append((source, f"NOT ({source.public}) AND {source.own}"))
    return arms


def _matches(source: _Source, search: Search) -> str:
    conditions = ["true"]
    if search.type and source is _POSTS:
        conditions.append("type = :type")
    if search.q is not None:
        conditions.append(_FOUND if search.words else "false")  # no word at all finds nothing
    return " AND ".join(conditions)


def _read(source: _Source, search: Search) -> str:
    """Returns the table, or a subquery of its rows with the words if they are rare (OFFSET 0 keeps it a step apart)."""
    if source.table not in search.rare_in:
        return source.table
    return f"(SELECT * FROM {source.table} WHERE {_FOUND} OFFSET 0) {source.table}"  # noqa: S608


def _ordered(
    source: _Source, columns: str, visible: str, search: Search, after: Position | None, excluded: Sequence[SpaceKey]
) -> str:
    """Returns one arm: rows after the position in the order of an index, as many as a page may take."""
    rank = search.rank
    key = ", ".join((rank, *source.key))
    conditions = [f"({visible})", _matches(source, search), *_after(source, rank, after)]
    if any(space.space_type == ("post" if source is _POSTS else "document") for space in excluded):
        conditions.append(f"{' || $$/$$ || '.join(source.key)} <> ALL (cast(:but_{source.table} AS text[]))")
    return f"""(SELECT {columns}, {rank} AS rank, {source.kind} AS kind
                FROM {_read(source, search)} WHERE {" AND ".join(conditions)} ORDER BY {key} LIMIT :most)"""  # noqa: S608


def _after(source: _Source, rank: str, after: Position | None) -> list[str]:
    """Returns the condition of rows after a position; of equal rank, documents come before posts."""
    if after is None:
        return []
    if after[1] == source.kind:
        names = ", ".join((":rank", ":a", ":b")[: 1 + len(source.key)])
        return [f"({rank}, {', '.join(source.key)}) > ({names})"]
    return [f"{rank} {'>' if after[1] > source.kind else '>='} :rank"]


def _excluded_values(excluded: Sequence[SpaceKey]) -> dict[str, Any]:
    tables = {"post": "but_posts", "document": "but_collaboration_documents"}
    return {name: [s.space_id for s in excluded if s.space_type == kind] for kind, name in tables.items()}


def _is_wanted(source: _Source) -> str:
    if source is _DOCUMENTS:
        return "wanted_type = 'document' AND collaboration_documents.space_id = wanted_id"
    return """wanted_type = 'post' AND author = split_part(wanted_id, '/', 1)
              AND permlink = split_part(wanted_id, '/', 2)"""
