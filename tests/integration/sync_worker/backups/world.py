"""The ground of the backups' tests: a database with rows in every table, and what backs it up and restores it."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table, types
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.local.databases import drop_database
from libs.common.clock import now
from libs.common.db.models import metadata
from libs.common.ids import new_id
from services.sync_worker.backups import server as pg
from services.sync_worker.backups.app import ROLE
from services.sync_worker.backups.drill import Drill
from services.sync_worker.backups.dumping import Dumping
from services.sync_worker.backups.folder import Folder
from services.sync_worker.backups.manifest import Manifest, encoded, manifest_path
from services.sync_worker.backups.restoring import Restored, Restoring
from services.sync_worker.backups.server import Server
from services.sync_worker.backups.tools import Tools
from tests.support.servers import Servers

ROWS = 3  # of each table


class World:
    """A database of `url`'s owner, who is no superuser; its backups lie in `folder`."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self.folder = Folder(path)
        self.clock: Callable[[], datetime] = now
        self.tools = Tools("")

    @property
    def server(self) -> Server:
        return Server(self.url, ROLE)

    async def backup(self, archive: str = "") -> Manifest:
        dumping = Dumping(self.server, self.folder, self.tools, archive, lambda: self.clock())
        async with self.folder.lock():
            return await dumping.make()

    async def restore(self, file: str) -> Restored:
        restoring = Restoring(Server(self.url), self.folder, self.tools, lambda: self.clock())
        async with self.folder.lock():
            return await restoring.restore(file)

    @property
    def drill(self) -> Drill:
        return Drill(self.server, self.folder, self.tools, lambda: self.clock())

    async def try_newest(self) -> Manifest:
        async with self.folder.lock():
            return await self.drill.run()

    def path_of(self, manifest: Manifest) -> Path:
        return self.folder.path / manifest.file

    def change(self, manifest: Manifest, **fields: Any) -> None:
        """Writes the manifest with other values."""
        for name, value in fields.items():
            setattr(manifest, name, value)
        manifest_path(self.path_of(manifest)).write_bytes(encoded(manifest))

    @asynccontextmanager
    async def connect(self, database: str | None = None, role: str | None = None) -> AsyncIterator[pg.Connection]:
        async with Server(self.url, role).connect(database) as connection:
            yield connection

    async def sql(self, statement: str, *arguments: Any, database: str | None = None) -> list[tuple[Any, ...]]:
        async with self.connect(database) as connection:
            return [tuple(row) for row in await connection.fetch(statement, *arguments)]

    async def databases(self) -> set[str]:
        """The databases whose names begin with ours."""
        return set(await Server(self.url).leftovers(Server(self.url).database))

    async def fill(self) -> None:
        """Puts rows into every table."""
        engine = create_async_engine(self.url.replace("postgresql://", "postgresql+asyncpg://"))
        async with engine.begin() as connection:
            made: dict[tuple[str, int], Any] = {}
            for table in metadata.sorted_tables:
                for number in range(1, ROWS + 1):
                    await connection.execute(table.insert().values(_row(table, number, made)))
        await engine.dispose()

    async def content(self, database: str | None = None) -> dict[str, tuple[int, str]]:
        """Returns the rows of each table, and the hash of them all in their order."""
        async with self.connect(database) as connection:
            names = await pg.count_rows(connection)
            return {name: (names[name], await _hash(connection, name)) for name in names}

    async def rights(self, database: str | None = None) -> list[tuple[Any, ...]]:
        """Returns who owns and who may do what: tables, schemas, functions, the database, what comes later."""
        return await self.sql(
            """
            SELECT 'relation', oid::regclass::text, pg_get_userbyid(relowner)::text,
              (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(relacl) a)
            FROM pg_class WHERE relnamespace IN
              (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'chat_partitions', 'log_partitions'))
              AND relkind IN ('r', 'p', 'S')
            UNION ALL SELECT 'schema', nspname::text, pg_get_userbyid(nspowner)::text,
              (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(nspacl) a)
            FROM pg_namespace WHERE nspname IN ('public', 'chat_partitions', 'log_partitions')
            UNION ALL SELECT 'function', oid::regprocedure::text, pg_get_userbyid(proowner)::text,
              (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(proacl) a)
            FROM pg_proc WHERE pronamespace IN
              (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'chat_partitions', 'log_partitions'))
            UNION ALL SELECT 'database', '', pg_get_userbyid(datdba)::text,
              (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a)
            FROM pg_database WHERE datname = current_database()
            UNION ALL SELECT 'later', defaclobjtype::text, pg_get_userbyid(defaclrole)::text,
              (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(defaclacl) a) FROM pg_default_acl
            ORDER BY 1, 2, 3
            """,
            database=database,
        )


@asynccontextmanager
async def filled(servers: Servers, path: Path) -> AsyncIterator[World]:
    """A database as the local stack has it: with logins of the services, and an owner who is no superuser."""
    world = World(await servers.new_database_with_logins(), path)
    await world.fill()
    yield world
    for database in await world.databases():
        await drop_database(servers.postgres, database)


async def _hash(connection: pg.Connection, table: str) -> str:
    rows = await connection.fetch(f"SELECT t::text AS row FROM {table} t ORDER BY 1")
    return hashlib.sha256("\n".join(row["row"] for row in rows).encode()).hexdigest()


def _row(table: Table, number: int, made: dict[tuple[str, int], Any]) -> dict[str, Any]:
    """Returns a row; `made` has the values of the rows before it, to which foreign keys point."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.computed is not None or column.identity is not None:
            continue
        name = f"{table.name}.{column.name}"
        parent = next((key.target_fullname for key in column.foreign_keys), None)
        value = made[parent, number] if parent else CHECKED.get(name) or CHECKED.get(column.name)
        row[column.name] = made[name, number] = value or _value(column.type, number, column.name)
    return row


CHECKED = {  # columns that take certain values only
    "level": "all",
    "notifications.kind": "mention",
    "webhook_notices.kind": "webhook_failing",
    "space_sanctions.kind": "ban",
    "space_roles.role": "member",
    "community_team.role": "moderator",
    "scheduled_events.access": "open",
    "presence_events.access": "open",
    "outcome": "connected",
    "comment_type": "comment",
    "subject_kind": "account",
    "status": "pending",
    "address_range": "203.0.113.0/24",
    "guest_range": "203.0.113.0/24",
}


def _value(kind: types.TypeEngine[Any], number: int, name: str) -> Any:
    if isinstance(kind, types.Uuid):
        return new_id()
    if isinstance(kind, types.Boolean):
        return number % 2 == 0
    if isinstance(kind, types.Integer | types.Numeric | types.Float):
        return number
    if isinstance(kind, types.DateTime):
        return datetime.now(UTC)
    if isinstance(kind, types.Date):
        return datetime.now(UTC).date()
    if isinstance(kind, types.LargeBinary):
        return bytes([number]) * 40
    if isinstance(kind, JSONB):
        return {"number": number, "text": "ünï ✓ \\ \t"}
    if isinstance(kind, types.ARRAY):
        return [_value(kind.item_type, number, name)]
    return f"{name}-{number} ünï ✓ \\ \n"
