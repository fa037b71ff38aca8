"""How long do a backup, its drill and a restore take, and is every row there again?  `python -m bench.backup 1000000`

Fills a fresh database of a server of its own with posts, a tenth as many chat messages, events and permissions, as the
service's tables have them, then makes a backup, tries it and restores it, as a role that is no superuser. Each table is
compared row for row by a hash over all its rows in their order. Prints Markdown; nothing is left behind.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine
from libs.common.clock import now
from services.sync_worker.backups import server as pg
from services.sync_worker.backups.app import ROLE
from services.sync_worker.backups.drill import Drill
from services.sync_worker.backups.dumping import Dumping
from services.sync_worker.backups.folder import Folder
from services.sync_worker.backups.restoring import Restoring
from services.sync_worker.backups.server import Connection, Server
from services.sync_worker.backups.tools import Tools
from tests.support.servers import Servers

CONTINUED = {"public.space_counters", "public.sync_state"}  # changed by a restore, on purpose
POSTS = """
INSERT INTO posts (author, permlink, type, votes, title, description, tags, row_hash, created_at)
SELECT 'author-' || n % 5000, 'a-post-number-' || n, '360', n % 977, 'Post ' || n || ' ' || md5(n::text),
  repeat(md5(n::text) || ' ', 4), ARRAY['vr', 'tag' || n % 50], md5(n::text), now() - n * interval '1 second'
FROM generate_series(1, {posts}) n
"""
MESSAGES = """
INSERT INTO chat_messages (id, seq, space_type, space_id, subspace, author_key, display_name, message_type, content,
  client_message_id, created_at, updated_at)
SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n), 19, '0'))::uuid,
  n, 'global', 'lobby', 'main', 'account:a' || n % 100, 'a', 'text', 'Said ' || md5(n::text), n, now(), now()
FROM generate_series(1, {others}) n
"""
EVENTS = """
INSERT INTO event_log (id, name, space_type, space_id, subspace, seq, actor, payload, request_id, occurred_at,
  published_at)
SELECT gen_random_uuid(), 'chat.message_posted', 'global', 'lobby', 'main', n, 'account:a',
  jsonb_build_object('content', md5(n::text), 'seq', n), 'r', now(), now() FROM generate_series(1, {others}) n
"""
PERMISSIONS = """
INSERT INTO collaboration_permissions (space_id, account, permission, row_hash)
SELECT 'document-' || n % 1000, 'a' || n, 'read', md5(n::text) FROM generate_series(1, {others}) n
"""
_BLOCK = 20_000  # rows of one hash at the server's


@dataclass
class Steps:
    """How long each step took, in seconds."""

    seconds: dict[str, float]

    async def time[T](self, name: str, work: Awaitable[T]) -> T:
        print(name, file=sys.stderr, flush=True)
        began = time.perf_counter()
        result = await work
        self.seconds[name] = time.perf_counter() - began
        return result


async def fill(url: str, posts: int) -> None:
    async with Server(url).connect() as connection:
        for statement in (POSTS, MESSAGES, EVENTS, PERMISSIONS):
            await connection.execute(statement.format(posts=posts, others=posts // 10))
        await connection.execute("VACUUM ANALYZE")


async def content(url: str) -> dict[str, tuple[int, str]]:
    """Returns the rows of each table, and the hash of all their texts in the order of the texts."""
    async with Server(url).connect() as connection:
        return {name: (rows, await _hash(connection, name)) for name, rows in (await pg.count_rows(connection)).items()}


async def _hash(connection: Connection, table: str) -> str:
    """Hashes of blocks of rows, hashed again: one text of all rows would not fit into a value."""
    query = f"""
        SELECT md5(coalesce(string_agg(block, '' ORDER BY number), '')) FROM (
          SELECT number, md5(string_agg(row, E'\\n' ORDER BY row COLLATE "C")) AS block FROM (
            SELECT t::text AS row, row_number() OVER (ORDER BY t::text COLLATE "C") / {_BLOCK} AS number FROM {table} t
          ) AS rows GROUP BY number
        ) AS blocks
    """
    return str(await connection.fetchval(query))


async def measure(servers: Servers, posts: int, path: Path) -> str:
    url = await servers.new_database_with_logins()
    steps = Steps({})
    await steps.time("fill", fill(url, posts))
    before = await steps.time("hash every table", content(url))
    folder, tools = Folder(path), Tools("")
    reader, owner = Server(url, ROLE), Server(url)
    async with owner.connect() as connection:
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
    async with folder.lock():
        manifest = await steps.time("backup", Dumping(reader, folder, tools, "", now).make())
        await steps.time("drill", Drill(reader, folder, tools, now).run())
        restored = await steps.time("restore", Restoring(owner, folder, tools, now).restore(manifest.file))
    after = await steps.time("hash every table again", content(url))
    differing = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    await owner.drop(restored.kept)
    return report(posts, size, manifest.bytes, steps, sum(rows for rows, _ in before.values()), len(before), differing)


def report(posts: int, size: int, dump: int, steps: Steps, rows: int, tables: int, differing: list[str]) -> str:
    unexpected = sorted(set(differing) - CONTINUED)
    verdict = f"**{', '.join(unexpected)} differ**" if unexpected else "equal row for row"
    lines = [
        f"# Backup and restore of {posts:,} posts",
        "",
        ", ".join(machine.description().values()),
        "",
        f"`python -m bench.backup {posts}`: {rows:,} rows in {tables} tables, {size / 1e6:,.0f} MB in the database,",
        f"{dump / 1e6:,.1f} MB as a backup. After the restore every table is {verdict}",
        f"(but {' and '.join(sorted(CONTINUED))}, which a restore changes on purpose).",
        "",
        "| step | seconds |",
        "|---|---|",
        *(f"| {name} | {steps.seconds[name]:.1f} |" for name in ("backup", "drill", "restore")),
    ]
    return "\n".join(lines)


async def main(posts: int) -> None:
    servers = Servers()
    try:
        with tempfile.TemporaryDirectory(prefix="presence-bench-") as folder:
            print(await measure(servers, posts, Path(folder)))
    finally:
        await asyncio.to_thread(servers.end)


if __name__ == "__main__":
    arguments: list[Any] = sys.argv[1:]
    asyncio.run(main(int(arguments[0]) if arguments else 100_000))
