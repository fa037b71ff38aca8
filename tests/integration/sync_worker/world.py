"""The ground of sync_worker's tests: a primary they may change, a replica, and one cycle at a time."""

import re
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import select, text

from libs.common import cache
from libs.common.cache import RedisClient
from libs.common.db.engine import Database
from libs.common.db.event_log import FactLog
from libs.common.spaces import SpaceKey
from services.sync_worker.primary.connection import Primary, Source
from services.sync_worker.replication.cycle import Cycle, Outcome, Trigger
from services.sync_worker.replication.intervals import Intervals
from services.sync_worker.tables.replicated import TABLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INTERVALS = Intervals(60.0, 60.0)
_PAGE = re.compile(r'json_agg.* FROM "(\w+)" .* LIMIT')
DEAD = "127.0.0.1:9"  # the discard port: nobody listens there

POSTS = """
CREATE TABLE posts (author varchar(16), permlink varchar(255), block bigint, votes integer, type varchar(32),
                    rating numeric, hidden boolean DEFAULT false, flagged boolean DEFAULT false,
                    PRIMARY KEY (author, permlink))
"""
DOCUMENTS_BY_ID = """
CREATE TABLE collaboration_documents (id serial PRIMARY KEY, title text, content text, creator varchar(16),
    is_public boolean DEFAULT false, is_deleted boolean DEFAULT false, updated_at timestamp,
    edit_permissions varchar(20) DEFAULT 'all', comment_permissions varchar(20) DEFAULT 'all');
CREATE TABLE collaboration_permissions (id serial PRIMARY KEY, document_id integer, user_account varchar(16),
    permission varchar(20) DEFAULT 'read')
"""
DOCUMENTS_BY_NAME = """
CREATE TABLE collaboration_documents (id serial PRIMARY KEY, owner varchar(50) NOT NULL, permlink varchar(255) NOT NULL,
    document_name varchar(500) DEFAULT '', document_data text, is_public boolean DEFAULT false,
    last_activity timestamptz, updated_at timestamptz, UNIQUE (owner, permlink));
CREATE TABLE collaboration_permissions (id serial PRIMARY KEY, owner varchar(50) NOT NULL,
    permlink varchar(255) NOT NULL, account varchar(50) NOT NULL, permission_type varchar(20) DEFAULT 'readonly',
    can_read boolean DEFAULT true, can_edit boolean DEFAULT false, UNIQUE (owner, permlink, account))
"""
PRESENCE_PERMISSIONS = """
CREATE TABLE presence_permissions (id serial PRIMARY KEY, space_type varchar(20) NOT NULL,
    space_id varchar(255) NOT NULL, user_account varchar(16) NOT NULL, permission varchar(20) DEFAULT 'access',
    UNIQUE (space_type, space_id, user_account))
"""


class World:
    """A replica and its primary. `between_pages` is called before each page of the primary is read, with its
    table, and `between_statements` before each statement there.
    """

    def __init__(self, database: Database, redis: RedisClient, primary: "asyncpg.Connection[Any]", url: str) -> None:
        self.database, self.redis, self.primary, self.primary_url = database, redis, primary, url
        self.between_pages: Callable[[str], Awaitable[None]] = _nothing
        self.between_statements: Callable[[str], Awaitable[None]] = _nothing
        self.log = FactLog(database)
        self.guard_percent = 5.0
        self.absent: frozenset[str] = frozenset()

    def stop_watching(self) -> None:
        self.between_pages = self.between_statements = _nothing

    def cycle(self, dsn: str | None = None, redis: RedisClient | None = None) -> Cycle:
        source = _WatchedSource(self.primary_url if dsn is None else dsn, self)
        return Cycle(source, self.log, (redis or self.redis).redis, INTERVALS, self.guard_percent, self.absent)

    async def sync(self) -> Outcome:
        return await self.cycle().run(Trigger.DEMAND)

    async def replica(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.database.read() as connection:
            return [tuple(row) for row in await connection.execute(text(sql))]

    async def original(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.primary.fetch(sql)]

    async def error_of(self, table: str) -> str | None:
        rows = await self.replica(f"SELECT last_error FROM sync_state WHERE table_name = '{table}'")
        return rows[0][0] if rows else None

    async def epoch(self, space: str) -> int:
        """1 once it was raised, however often: it begins at a clock."""
        return int(await self.redis.redis.exists(cache.epoch(SpaceKey.from_text(space))))

    async def openings(self) -> dict[tuple[str, ...], tuple[int, ...]]:
        """Returns the table's name and key of each row of the replica → how much it opens."""
        async with self.database.read() as connection:
            rows = [
                (table, dict(row))
                for table in TABLES
                for row in (await connection.execute(select(table.model.__table__))).mappings()
            ]
        return {(table.name, *table.key_of(row)): table.openness(row) for table, row in rows}

    async def add_posts(self, count: int, author: str = "mass") -> None:
        await self.primary.execute(
            "INSERT INTO posts (author, permlink, block, votes, type) "
            f"SELECT '{author}', 'post-' || n, n, 0, 'blog' FROM generate_series(1, {count}) n"
        )


async def _nothing(_: str) -> None:
    return None


class _WatchedSource(Source):
    def __init__(self, dsn: str, world: World) -> None:
        super().__init__(dsn)
        self._world = world

    @asynccontextmanager
    async def connect(self) -> "AsyncIterator[Primary]":
        async with super().connect() as primary:
            yield _WatchedPrimary(primary, self._world)


class _WatchedPrimary(Primary):
    def __init__(self, primary: Primary, world: World) -> None:
        super().__init__(primary._connection)
        self._world = world

    async def fetch(self, statement: str, *arguments: object) -> Any:
        await self._world.between_statements(statement)
        if page := _PAGE.search(statement):
            await self._world.between_pages(page[1])
        return await super().fetch(statement, *arguments)
