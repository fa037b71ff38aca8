"""Does chat stay flat in one space with very many messages?  `python -m bench.chat_scale 10000000`

Fills a fresh database of a server of its own with messages of one space over three months (one in ten a reply, one in
a hundred thousand with the rare word), then times the repository's own queries, shows their plans, and drops a month
while somebody writes. Prints Markdown.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.engine import Database
from libs.common.spaces import LOBBY
from services.chat import months, repository
from services.chat import subscriptions_repository as subscriptions
from services.chat.repository import Page
from tests.support.servers import Servers

ROUNDS = 50
CHUNK = 500_000

_FILL = """
INSERT INTO chat_messages (id, seq, space_type, space_id, subspace, author_key, user_account, display_name,
  message_type, content, parent_message_id, client_message_id, created_at, updated_at)
SELECT id, n, 'global', 'lobby', 'main', 'account:user' || n % 1000, 'user' || n % 1000, 'user' || n % 1000, 'text',
  'common words of message ' || n || CASE WHEN n % 100000 = 0 THEN ' rarity' ELSE '' END,
  CASE WHEN n % 10 = 0 THEN CAST(:parent AS uuid) END, n::text, moment, moment
FROM (SELECT n, moment, (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7000' || '8000'
    || lpad(to_hex(n), 12, '0'))::uuid AS id
  FROM (SELECT n, CAST(:start AS timestamptz) + (CAST(:span AS interval) * n / :total) AS moment
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) n) AS numbered) AS made
"""


async def fill(database: Database, total: int, start: datetime, span: timedelta) -> str:
    """Messages numbered from 1; the id of the first, whose thread every tenth is in."""
    parent = f"{int(start.timestamp() * 1000):012x}" + "70008000" + f"{0:012x}"
    for first in range(1, total + 1, CHUNK):
        async with database.transaction() as connection:
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            given = {"first": first, "last": min(first + CHUNK - 1, total), "total": total, "parent": parent}
            await connection.execute(text(_FILL), {**given, "start": start, "span": span})
    async with database.autocommit() as connection:
        await connection.execute(text("SET statement_timeout = 0"))
        await connection.execute(text("VACUUM ANALYZE chat_messages"))
    return parent


def queries(total: int, thread: str) -> dict[str, Callable[[AsyncConnection], Awaitable[Any]]]:
    newest = Page(LOBBY, "main", 50)
    return {
        "newest page": lambda c: repository.page(c, newest),
        "page in the middle": lambda c: repository.page(c, newest.before(total // 2)),
        "page after": lambda c: repository.page(c, newest.after(total // 2)),
        "thread": lambda c: repository.page(c, Page(LOBBY, "main", 50, thread).after(0)),
        "unread, 40 behind": lambda c: subscriptions.unread(c, LOBBY, "alice", total - 40),
        "unread, all of it": lambda c: subscriptions.unread(c, LOBBY, "alice", 0),
        "search, a common word": lambda c: repository.page(c, Page(LOBBY, "main", 50, q="common")),
        "search, a rare word": lambda c: repository.page(c, Page(LOBBY, "main", 50, q="rarity")),
        "search, no such word": lambda c: repository.page(c, Page(LOBBY, "main", 50, q="nowhere")),
    }


async def measure(database: Database, total: int, thread: str) -> None:
    print(f"\n| query ({total:,} messages) | median ms | worst ms |\n|---|---|---|")
    for name, query in queries(total, thread).items():
        taken = []
        async with database.read() as connection:
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await query(connection)
                taken.append((time.perf_counter() - began) * 1000)
        taken.sort()
        print(f"| {name} | {taken[ROUNDS // 2]:.2f} | {taken[-1]:.2f} |")


async def plans(database: Database, total: int, thread: str) -> None:
    """What PostgreSQL does for each, as EXPLAIN shows it."""
    said: list[tuple[str, Any]] = []
    engine = database._engine.sync_engine  # noqa: SLF001  to see the statements as they are sent
    event.listen(engine, "before_cursor_execute", lambda *a: said.append((a[2], a[3])))
    for name, query in queries(total, thread).items():
        async with database.read() as connection:
            await query(connection)
            statement, parameters = said[-1]
            rows = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            print(f"\n**{name}**\n\n```")
            print("\n".join(row[0] for row in rows), "\n```")


async def drop_month(database: Database, month: datetime) -> None:
    """Detach and drop the oldest month while a writer writes."""
    waits: list[float] = []
    done = asyncio.Event()

    async def write() -> None:
        number = 10**9
        while not done.is_set():
            began = time.perf_counter()
            await fill_one(database, number := number + 1)
            waits.append((time.perf_counter() - began) * 1000)

    writer = asyncio.create_task(write())
    began = time.perf_counter()
    await months.detach(database, month.date())
    detached = time.perf_counter()
    async with database.transaction() as connection:
        await months.drop(connection, month.date())
    dropped = time.perf_counter()
    done.set()
    await writer
    print(f"\nDetached in {detached - began:.3f} s, dropped in {dropped - detached:.3f} s;", end=" ")
    print(f"meanwhile {len(waits)} messages were written, the slowest in {max(waits):.1f} ms.")


async def fill_one(database: Database, number: int) -> None:
    given = {"first": number, "last": number, "total": number, "parent": None}
    async with database.transaction() as connection:
        await connection.execute(text(_FILL), {**given, "start": datetime.now(UTC), "span": timedelta(0)})


async def main(total: int) -> None:
    servers = Servers()
    try:
        database = Database(await servers.new_database(), "chat", 4)
        end = datetime.now(UTC)
        start = (end - timedelta(days=75)).replace(day=2)
        async with database.transaction() as connection:
            for back in range(4):
                await months.make(connection, (start + timedelta(days=30 * back)).date())
        began = time.perf_counter()
        thread = await fill(database, total, start, end - start)
        print(f"Filled in {time.perf_counter() - began:.0f} s.")
        await measure(database, total, thread)
        await drop_month(database, start)
        await plans(database, total, thread)
        await database.stop()
    finally:
        await asyncio.to_thread(servers.end)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
