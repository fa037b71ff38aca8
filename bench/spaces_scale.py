"""Do lists of spaces stay quick among very many?  `python -m bench.spaces_scale 1000000 100000`

Fills a fresh database of a server of its own with posts and documents (one in a hundred hidden or private), then times
the repository's own queries on a warm cache and shows their plans. Prints Markdown.
"""

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.machine import description
from libs.common.db.engine import Database
from libs.common.spaces import SpaceKey
from services.spaces_auth.spaces import space_list_repository as listing
from services.spaces_auth.spaces.space_list_repository import Search
from tests.support.servers import Servers

ROUNDS = 50
PAGE = 50
CHUNK = 100_000
GOAL_MS = 20

_POSTS = """
INSERT INTO posts (author, permlink, type, votes, title, description, created_at, hidden, row_hash)
SELECT 'user' || n % 20000, 'post-' || n, (ARRAY['360', 'vrml', 'aframe', 'blog', 'art', 'game'])[1 + n % 6],
  floor(1000 * power(random(), 4)), 'A common title of post ' || n,
  'Words about it' || CASE WHEN n % 100 = 7 THEN ' sometimes' ELSE '' END
    || CASE WHEN n % 50000 = 9 THEN ' rarity' ELSE '' END,
  now() - n * interval '1 minute', n % 100 = 0, 'x'
FROM generate_series(cast(:first AS int), cast(:last AS int)) n
"""
_DOCUMENTS = """
INSERT INTO collaboration_documents (space_id, title, creator, is_public, created_at, row_hash)
SELECT n::text, 'A common document ' || n, 'user' || n % 20000, n % 100 <> 0, now() - n * interval '7 minutes', 'x'
FROM generate_series(cast(:first AS int), cast(:last AS int)) n
"""
_OF_ONE = """
INSERT INTO collaboration_permissions (space_id, account, permission, row_hash)
SELECT (n * 100)::text, 'user1', 'edit', 'x' FROM generate_series(1, 200) n
"""

type Query = Callable[[AsyncConnection], Awaitable[Any]]


async def fill(database: Database, posts: int, documents: int) -> None:
    for statement, total in ((_POSTS, posts), (_DOCUMENTS, documents)):
        for first in range(1, total + 1, CHUNK):
            async with database.transaction() as connection:
                await connection.execute(text("SET LOCAL statement_timeout = 0"))
                await connection.execute(text(statement), {"first": first, "last": min(first + CHUNK - 1, total)})
    async with database.autocommit() as connection:
        await connection.execute(text("SET statement_timeout = 0"))
        await connection.execute(text(_OF_ONE))
        await connection.execute(text("VACUUM ANALYZE"))


async def position(database: Database, search: Search, page: int) -> listing.Position:
    """Of the last row before the page of that number."""
    async with database.read() as connection:
        (row,) = await listing.page(connection, search, None, [], 1, page * PAGE - 1)
    return row.rank, row.kind, row.a, row.b


async def queries(database: Database, posts: int) -> dict[str, Query]:
    chance = random.Random(1)
    numbers = chance.sample(range(1, posts), 1000)
    active = [SpaceKey("post", f"user{n % 20000}/post-{n}") for n in numbers]
    votes, recent = Search(), Search(rank="by_time")
    deep, deep_recent = await position(database, votes, 999), await position(database, recent, 999)
    deep_type = await position(database, Search(type="art"), 999)
    mine = Search(account="user1")

    def page(search: Search, after: listing.Position | None = None, offset: int = 0, but: Any = ()) -> Query:
        async def ask(connection: AsyncConnection) -> Any:
            return await listing.page(
                connection, await listing.probed(connection, search), after, but, PAGE + 1, offset
            )

        return ask

    def total(search: Search) -> Query:
        async def ask(connection: AsyncConnection) -> Any:
            return await listing.total(connection, await listing.probed(connection, search))

        return ask

    def of_words(words: str) -> Search:
        return Search(q=words)

    return {
        "first page, votes": page(votes),
        "first page, recent": page(recent),
        "first page of an account with 200 private documents": page(mine),
        "filtered by type": page(Search(type="art")),
        "filtered by space type": page(Search(space_type="document")),
        "search, a rare word": page(of_words("rarity")),
        "search, a word of one in a hundred": page(of_words("sometimes")),
        "search, a common word": page(of_words("common")),
        "search, two words": page(of_words("common sometimes")),
        "search, no such word": page(of_words("nowhere")),
        "1,000th page by cursor, votes": page(votes, deep),
        "1,000th page by cursor, recent": page(recent, deep_recent),
        "1,000th page by cursor, type": page(Search(type="art"), deep_type),
        "offset 9,950": page(votes, None, 9950),
        "sort=active, the 50 of 1,000 with people": lambda c: listing.matching(c, votes, active, PAGE + 1),
        "sort=active, the first page after those": page(votes, None, 0, active),
        "total": total(votes),
        "total of a type": total(Search(type="art")),
        "total of a common word": total(of_words("common")),
        "total of a word of one in a hundred": total(of_words("sometimes")),
    }


async def measure(database: Database, found: dict[str, Query]) -> None:
    print("| query | median ms | worst ms | |\n|---|---|---|---|")
    for name, query in found.items():
        taken = []
        async with database.read() as connection:
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await query(connection)
                taken.append((time.perf_counter() - began) * 1000)
        taken.sort()
        median = taken[ROUNDS // 2]
        print(f"| {name} | {median:.2f} | {taken[-1]:.2f} | {'' if median < GOAL_MS else 'missed'} |")


async def plans(database: Database, found: dict[str, Query]) -> None:
    """Returns PostgreSQL's plan of each query, as EXPLAIN ANALYZE shows it; times at the server."""
    said: list[tuple[str, Any]] = []
    engine = database._engine.sync_engine  # noqa: SLF001  to see the statements as they are sent
    event.listen(engine, "before_cursor_execute", lambda *a: said.append((a[2], a[3])))
    for name, query in found.items():
        if name.startswith("total"):
            continue
        async with database.read() as connection:
            await query(connection)
            statement, parameters = said[-1]
            rows = await connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF) {statement}", parameters
            )
            print(f"\n**{name}**\n\n```")
            print("\n".join(row[0] for row in rows), "\n```")


async def main(posts: int, documents: int) -> None:
    servers = Servers()
    try:
        url = await servers.new_database()
        database, owner = Database(url, "spaces_auth", 4), Database(url, None, 2)
        await fill(owner, posts, documents)
        found = await queries(database, posts)
        print(f"# Lists among {posts:,} posts and {documents:,} documents\n\n{', '.join(description().values())}\n")
        print(f"`python -m bench.spaces_scale {posts} {documents}`: {ROUNDS} rounds each on a warm cache, as the")
        print(f"service sees it (driver and rows included); goal {GOAL_MS} ms.\n")
        await measure(database, found)
        await plans(database, found)
        await database.stop()
        await owner.stop()
    finally:
        await asyncio.to_thread(servers.end)


if __name__ == "__main__":
    asked = [int(argument) for argument in sys.argv[1:]]
    asyncio.run(main(*(asked or [1_000_000, 100_000])))
