"""What does a cycle of replication cost?  `python -m bench.sync 1000000 100000`

Fills a primary of its own with posts, and with documents and permissions named by owner and permlink, as the real one
has them; then replicates it, changes it and replicates again. CPU seconds are the worker's and PostgreSQL's, which
serves both sides. The primary is 40 ms away: a proxy holds what it says for so long. A smaller pair of tables is
measured beside, to tell what grows with the table. Prints Markdown.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import text

from bench.machine import cpu_seconds, description
from libs.common import log
from libs.common.cache import RedisClient
from libs.common.db.engine import Database
from libs.common.db.event_log import FactLog
from services.sync_worker.primary.connection import Source
from services.sync_worker.replication.cycle import Cycle, Outcome, Trigger
from services.sync_worker.replication.intervals import Intervals
from tests.support.proxy import delayed
from tests.support.servers import Servers

if TYPE_CHECKING:
    from asyncpg import Connection

SMALL = (10_000, 1_000)
DELAY = 0.04  # seconds, there and back
LARGE = 4_000_000  # bytes of a document
CHUNK = 100_000

_TABLES = """
CREATE TABLE posts (author varchar(16), permlink varchar(255), block bigint, votes integer DEFAULT 0,
    voteweight bigint DEFAULT 0, promote integer DEFAULT 0, paid boolean DEFAULT false, type varchar(50),
    rating numeric(5, 2) DEFAULT 0, ratings integer DEFAULT 0, nsfw boolean DEFAULT false,
    sensitive boolean DEFAULT false, hidden boolean DEFAULT false, featured boolean DEFAULT false,
    flagged boolean DEFAULT false, flag_reason text, moderated_by varchar(50), moderated_at timestamp,
    PRIMARY KEY (author, permlink));
CREATE TABLE collaboration_documents (id serial PRIMARY KEY, owner varchar(50), permlink varchar(255),
    document_name varchar(255), content text, is_public boolean DEFAULT false, last_activity timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(), UNIQUE (owner, permlink));
CREATE TABLE collaboration_permissions (id serial PRIMARY KEY, owner varchar(50), permlink varchar(255),
    account varchar(50), permission_type varchar(20), can_read boolean, can_edit boolean,
    UNIQUE (owner, permlink, account));
"""
_ROWS = {
    "posts": """INSERT INTO posts (author, permlink, block, votes, type)
        SELECT 'user' || n % 20000, 'post-' || n, n, n % 97,
            (ARRAY['360', 'vrml', 'aframe', 'blog', 'art', 'game'])[1 + n % 6]
        FROM generate_series($1::int, $2::int) n""",
    "documents": """INSERT INTO collaboration_documents (owner, permlink, document_name, content, is_public)
        SELECT 'user' || n % 20000, 'doc-' || n, 'Document ' || n, repeat('words ', 100), n % 2 = 0
        FROM generate_series($1::int, $2::int) n""",
    "permissions": """INSERT INTO collaboration_permissions
            (owner, permlink, account, permission_type, can_read, can_edit)
        SELECT 'user' || n % 20000, 'doc-' || n, 'reader' || n % 5000, 'editable', true, true
        FROM generate_series($1::int, $2::int) n""",
}
_SOME = "ARRAY(SELECT 'post-' || n * {} FROM generate_series(1, {}) n)"
_CHANGE = "UPDATE posts SET votes = votes + 1 WHERE permlink = ANY(" + _SOME + ")"
STEPS = {
    "nothing changed": "",
    "100 posts changed": _CHANGE.format(1, 100),
    "100 posts deleted": f"DELETE FROM posts WHERE permlink = ANY({_SOME.format(3, 100)})",
    "100 permissions withdrawn": "UPDATE collaboration_permissions SET can_read = false WHERE id <= 100",
    "100 permissions deleted": "DELETE FROM collaboration_permissions WHERE id BETWEEN 101 AND 200",
    "1,000 posts changed": _CHANGE.format(1, 1000),
    "10,000 posts changed": _CHANGE.format(1, 10_000),
    "20 documents of 4 MB": f"UPDATE collaboration_documents SET content = repeat('0123456789', {LARGE // 10})"
    " WHERE id <= 20",
}


class Bench:
    """A pair of tables, and what they cost."""

    def __init__(self, servers: Servers, primary: str, replica: str, redis: str) -> None:
        self._servers = servers
        self._primary_url = primary
        self._database = Database(replica, "sync_worker", 8)
        self._redis = RedisClient(redis)
        self._cycle: Cycle | None = None

    @asynccontextmanager
    async def started(self) -> "AsyncIterator[Connection[Any]]":
        async with delayed(self._primary_url, DELAY) as far:
            await self._redis.start()
            self._cycle = Cycle(Source(far), FactLog(self._database), self._redis.redis, Intervals(10.0, 60.0), 5.0)
            connection = await asyncpg.connect(self._primary_url)
            try:
                yield connection
            finally:
                await connection.close()
                await self._redis.stop()
                await self._database.stop()

    async def cycle(self, *, prove: bool = False) -> tuple[float, float, float, int]:
        """Returns wall seconds, CPU seconds of the worker and of PostgreSQL, and the worker's highest memory in MB."""
        assert self._cycle
        _forget_memory()
        wall, worker, database = time.monotonic(), time.process_time(), self._postgres()
        outcome = await self._cycle.run(Trigger.DEMAND, prove=prove)
        if outcome is not Outcome.DONE:
            raise SystemExit(f"the cycle {outcome}")
        taken = time.monotonic() - wall, time.process_time() - worker, self._postgres() - database
        return *taken, _highest_memory()

    def _postgres(self) -> float:
        """Returns the CPU seconds of all of the server's processes, those that have ended among them."""
        leader = self._servers.postgres.child.pid
        stat = Path(f"/proc/{leader}/stat").read_text().rpartition(")")[2].split()
        ended = (int(stat[13]) + int(stat[14])) / os.sysconf("SC_CLK_TCK")
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        return ended + sum(map(cpu_seconds, (leader or 0, *map(int, children))))

    async def maintain(self) -> None:
        async with self._database.autocommit() as connection:
            await connection.execute(text("SET statement_timeout = 0"))
            await connection.execute(text("ANALYZE posts"))


def _forget_memory() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _highest_memory() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


async def fill(connection: "Connection[Any]", posts: int, documents: int) -> None:
    await connection.execute(_TABLES)
    for name, total in (("posts", posts), ("documents", documents), ("permissions", documents)):
        for first in range(1, total + 1, CHUNK):
            await connection.execute(_ROWS[name], first, min(first + CHUNK - 1, total))
    await connection.execute("VACUUM ANALYZE")


async def measure(servers: Servers, posts: int, documents: int) -> None:
    bench = Bench(
        servers, await servers.new_database(migrated=False), await servers.new_database(), servers.new_redis_database()
    )
    async with bench.started() as primary:
        await fill(primary, posts, documents)
        total = posts + 2 * documents
        print(f"\n## {posts:,} posts, {documents:,} documents, {documents:,} permissions\n")
        print("| step | wall s | worker CPU s | PostgreSQL CPU s | in all | memory MB |\n|---|---|---|---|---|---|")
        first = await _row("first copy", bench.cycle)
        print(f"| that is, rows a CPU second | | | | {total / (first[1] + first[2]):,.0f} | |")
        await bench.maintain()
        for name, statement in STEPS.items():
            if statement:
                await primary.execute(statement)
            await _row(name, bench.cycle)
        await _row("the whole proof", lambda: bench.cycle(prove=True))


async def _row(
    name: str, step: Callable[[], Awaitable[tuple[float, float, float, int]]]
) -> tuple[float, float, float, int]:
    wall, worker, database, memory = await step()
    print(f"| {name} | {wall:.1f} | {worker:.2f} | {database:.2f} | {worker + database:.2f} | {memory} |", flush=True)
    return wall, worker, database, memory


async def main(posts: int, documents: int) -> None:
    log.configure("bench", "ERROR")
    servers = Servers()
    try:
        print(f"# Replication\n\n{', '.join(description().values())}\n")
        print(f"`python -m bench.sync {posts} {documents}`, the primary {DELAY * 1000:.0f} ms away.")
        for size in (SMALL, (posts, documents)):
            await measure(servers, *size)
    finally:
        await asyncio.to_thread(servers.end)


if __name__ == "__main__":
    asked = [int(argument) for argument in sys.argv[1:]]
    asyncio.run(main(*(asked or [1_000_000, 100_000])))
