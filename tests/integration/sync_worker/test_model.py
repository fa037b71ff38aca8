"""After any walk of changes, kills and outages the replica equals the primary row for row, in each of its shapes.

Every space that lost access on the way has its epoch raised, and no proof found what a cycle had missed. The walk is
hypothesis's; what must be equal is read from both sides by statements of this module, which know nothing of how the
worker reads.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from libs.common import cache
from libs.common.cache import RedisClient
from libs.common.db.engine import Database
from libs.common.spaces import SpaceKey
from services.sync_worker.replication.cycle import Outcome, Trigger
from services.sync_worker.tables.replicated import TABLES
from services.sync_worker.tables.table import Table
from tests.integration.sync_worker.primaries import PRIMARIES, fill
from tests.integration.sync_worker.world import DEAD, World
from tests.support.servers import Servers

EXAMPLES, STEPS = 4, 40
PAGE = 3  # rows, so that a walk has many
PEOPLE = ("alice", "bob", "carol", "dave")
NAMES = tuple(f"n{number}" for number in range(8))
people, names, flags = st.sampled_from(PEOPLE), st.sampled_from(NAMES), st.booleans()

type Row = tuple[Any, ...]


@dataclass(frozen=True)
class Statements:
    """Of one shape: changes (each with its arguments), and what must be equal as (here, there)."""

    write_document: str  # of owner, name, is_public, a text
    delete_document: str
    write_permission: str  # of owner, name, account, may edit
    weaken_permission: str
    delete_permission: str
    renamed: tuple[str, str]  # a table and a column about access
    equal: tuple[tuple[str, str], ...]


POSTS = (
    "SELECT author, permlink, votes, type, hidden, flagged FROM posts",
    "SELECT author, permlink, coalesce(votes, 0), type, coalesce(hidden, true), coalesce(flagged, true) FROM posts",
)
PRESENCE = (
    "SELECT space_type, space_id, account, permission FROM presence_permissions",
    "SELECT space_type, space_id, user_account, permission FROM presence_permissions",
)
_NUMBER = "(1 + abs(hashtext($1 || $2)) % 1000000)"
BY_ID = Statements(
    write_document=f"""INSERT INTO collaboration_documents (id, title, content, creator, is_public)
        VALUES ({_NUMBER}, $2, $4, $1, $3) ON CONFLICT (id) DO UPDATE SET content = $4, is_public = $3""",
    delete_document=f"DELETE FROM collaboration_documents WHERE id = {_NUMBER}",
    write_permission=f"""INSERT INTO collaboration_permissions (document_id, user_account, permission)
        VALUES ({_NUMBER}, $3, CASE WHEN $4 THEN 'edit' ELSE 'read' END)""",
    weaken_permission=f"UPDATE collaboration_permissions SET permission = 'read' WHERE document_id = {_NUMBER}",
    delete_permission=f"DELETE FROM collaboration_permissions WHERE document_id = {_NUMBER} AND user_account = $3",
    renamed=("collaboration_permissions", "permission"),
    equal=(
        POSTS,
        PRESENCE,
        (
            "SELECT space_id, title, content, creator, is_public, is_deleted FROM collaboration_documents",
            "SELECT id::text, title, content, creator, is_public, is_deleted FROM collaboration_documents",
        ),
        (
            "SELECT space_id, account, permission FROM collaboration_permissions",
            """SELECT document_id::text, user_account,
                      (ARRAY['read', 'comment', 'edit'])[max(array_position(ARRAY['read', 'comment', 'edit'],
                       permission::text))]
               FROM collaboration_permissions GROUP BY 1, 2""",
        ),
    ),
)
BY_NAME = Statements(
    write_document="""INSERT INTO collaboration_documents (owner, permlink, document_name, is_public)
        VALUES ($1, $2, $4, $3) ON CONFLICT (owner, permlink) DO UPDATE SET document_name = $4, is_public = $3""",
    delete_document="DELETE FROM collaboration_documents WHERE owner = $1 AND permlink = $2",
    write_permission="""INSERT INTO collaboration_permissions (owner, permlink, account, permission_type, can_edit)
        VALUES ($1, $2, $3, CASE WHEN $4 THEN 'editable' ELSE 'readonly' END, $4)
        ON CONFLICT (owner, permlink, account) DO UPDATE SET can_read = true""",
    weaken_permission="UPDATE collaboration_permissions SET can_read = false WHERE owner = $1 AND permlink = $2",
    delete_permission="""DELETE FROM collaboration_permissions
        WHERE owner = $1 AND permlink = $2 AND account = $3""",
    renamed=("collaboration_documents", "is_public"),
    equal=(
        POSTS,
        PRESENCE,
        (
            "SELECT space_id, title, creator, is_public FROM collaboration_documents",
            "SELECT owner || '/' || permlink, document_name, owner, is_public FROM collaboration_documents",
        ),
        (
            "SELECT space_id, account, permission FROM collaboration_permissions",
            """SELECT owner || '/' || permlink, account,
                      CASE WHEN can_edit AND permission_type <> 'readonly' THEN 'edit' ELSE 'read' END
               FROM collaboration_permissions WHERE can_read""",
        ),
    ),
)
SHAPES = {"by id": BY_ID, "by name": BY_NAME}


class Killed(BaseException):
    """The process dies here."""


class Walk(RuleBasedStateMachine):
    """One walk. The class attributes are set for the run."""

    servers: Servers
    loop: asyncio.AbstractEventLoop
    shape: str

    def __init__(self) -> None:
        super().__init__()
        self.statements = SHAPES[self.shape]
        self.late: asyncpg.Connection[Any] | None = None
        self.do(self._open())
        self.opened = self.do(self.world.openings())
        self.epochs: dict[SpaceKey, int] = {}

    def do[T](self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def _open(self) -> None:
        primary, replica = await self.servers.new_database(migrated=False), await self.servers.new_database()
        redis = RedisClient(self.servers.new_redis_database())
        self.world = World(Database(replica, "sync_worker"), redis, await asyncpg.connect(primary), primary)
        self.world.guard_percent = 100.0
        await fill(self.world, PRIMARIES[self.shape])
        await self._change("UPDATE collaboration_documents SET is_public = is_public IS TRUE")

    async def _change(self, statement: str, *arguments: Any) -> None:
        await (self.late or self.world.primary).execute(statement, *arguments)

    @rule(author=people, permlink=names, votes=st.integers(0, 9), hidden=flags)
    def write_post(self, author: str, permlink: str, votes: int, hidden: bool) -> None:
        self.do(
            self._change(
                """INSERT INTO posts (author, permlink, votes, type, hidden) VALUES ($1, $2, $3, 'blog', $4)
                   ON CONFLICT (author, permlink) DO UPDATE SET votes = $3, hidden = $4""",
                *(author, permlink, votes, hidden),
            )
        )

    @rule(author=people)
    def delete_posts(self, author: str) -> None:
        self.do(self._change("DELETE FROM posts WHERE author = $1 AND permlink LIKE 'n%'", author))

    @rule(number=st.integers(1, 20))
    def write_many_posts(self, number: int) -> None:
        self.do(
            self._change(
                """INSERT INTO posts (author, permlink, votes, type) SELECT 'mass', 'n' || n, n, 'blog'
                   FROM generate_series(1, $1::int) n ON CONFLICT (author, permlink) DO UPDATE SET votes = 7""",
                number,
            )
        )

    @rule(owner=people, name=names, is_public=flags, text=st.sampled_from(("", "short", "ä🎈" * 100)))
    def write_document(self, owner: str, name: str, is_public: bool, text: str) -> None:
        self.do(self._change(self.statements.write_document, owner, name, is_public, text))

    @rule(owner=people, name=names)
    def delete_document(self, owner: str, name: str) -> None:
        self.do(self._change(self.statements.delete_document, owner, name))

    @rule(owner=people, name=names, account=people, may_edit=flags)
    def write_permission(self, owner: str, name: str, account: str, may_edit: bool) -> None:
        self.do(self._change(self.statements.write_permission, owner, name, account, may_edit))

    @rule(owner=people, name=names)
    def weaken_permission(self, owner: str, name: str) -> None:
        self.do(self._change(self.statements.weaken_permission, owner, name))

    @rule(owner=people, name=names, account=people)
    def delete_permission(self, owner: str, name: str, account: str) -> None:
        self.do(self._change(self.statements.delete_permission, owner, name, account))

    @precondition(lambda self: self.late is None)
    @rule()
    def begin_a_late_transaction(self) -> None:
        async def begin() -> None:
            self.late = await asyncpg.connect(self.world.primary_url)
            await self.late.execute("BEGIN; SET lock_timeout = '1s'; SELECT pg_current_xact_id()")

        self.do(begin())

    @precondition(lambda self: self.late is not None)
    @rule(keeps=flags)
    def end_the_late_transaction(self, keeps: bool) -> None:
        async def end() -> None:
            late, self.late = self.late, None
            assert late is not None
            await late.execute("COMMIT" if keeps else "ROLLBACK")
            await late.close()

        self.do(end())

    @rule()
    def sync(self) -> None:
        assert self.do(self.world.sync()) is Outcome.DONE

    @rule()
    def prove(self) -> None:
        assert self.do(self.world.cycle().run(Trigger.DEMAND, prove=True)) is Outcome.DONE

    @rule(statements=st.integers(1, 30))
    def sync_until_killed(self, statements: int) -> None:
        left = statements

        async def die(_: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        self.world.between_statements = die
        try:
            self.do(self.world.sync())
        except Killed:
            pass
        finally:
            self.world.stop_watching()

    @rule()
    def sync_without_redis(self) -> None:
        away = RedisClient(f"redis://{DEAD}/0")
        assert self.do(self.world.cycle(redis=away).run(Trigger.DEMAND)) is Outcome.FAILED

    @precondition(lambda self: self.late is None)
    @rule()
    def sync_while_a_column_is_renamed(self) -> None:
        table, column = self.statements.renamed

        async def rename(old: str, new: str) -> None:
            await self.world.primary.execute(f'ALTER TABLE {table} RENAME COLUMN "{old}" TO "{new}"')

        async def walk() -> None:
            await self.world.sync()
            before = await self.world.openings()
            await rename(column, f"{column}_2")
            assert await self.world.sync() is Outcome.FAILED
            assert await self.world.openings() == before
            await rename(f"{column}_2", column)

        self.do(walk())

    @precondition(lambda self: self.late is None)
    @rule()
    def come_to_rest(self) -> None:
        self.do(self._compare())

    def teardown(self) -> None:
        if hasattr(self, "world"):
            if self.late is not None:
                self.end_the_late_transaction(True)
            self.do(self._compare())
            self.do(self._close())

    async def _compare(self) -> None:
        assert await self.world.sync() is Outcome.DONE
        for here, there in self.statements.equal:
            assert sorted(await self.world.replica(here), key=repr) == sorted(
                await self.world.original(there), key=repr
            )
        assert await self.world.replica("SELECT table_name FROM sync_state WHERE position->>'missed' <> '0'") == []
        opened = await self.world.openings()
        raised = await self._epochs()
        for row, openness in self.opened.items():
            if _fell(openness, opened.get(row)):
                space = _space_of(row)
                assert raised.get(space, 0) > self.epochs.get(space, 0), row
        self.opened, self.epochs = opened, raised

    async def _epochs(self) -> dict[SpaceKey, int]:
        spaces = {_space_of(row) for row in self.opened}
        return {space: int(await self.world.redis.redis.get(cache.epoch(space)) or 0) for space in spaces}

    async def _close(self) -> None:
        await self.world.primary.close()
        await self.world.redis.stop()
        await self.world.database.stop()


def _fell(before: tuple[int, ...], after: tuple[int, ...] | None) -> bool:
    return after is None or any(new < old for old, new in zip(before, after, strict=True))


def _space_of(row: Row) -> SpaceKey:
    table = next(table for table in TABLES if table.name == row[0])
    return table.space_of(row[1:])


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Table, "page", PAGE)
    for table in TABLES:
        monkeypatch.setitem(table.__dict__, "page", PAGE)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.timeout(300)
def test_after_any_walk_the_replica_equals_the_primary_row_for_row(
    servers: Servers, loop: asyncio.AbstractEventLoop, shape: str, small_pages: None
) -> None:
    machine = type("Walk", (Walk,), {"servers": servers, "loop": loop, "shape": shape})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # shrinking a walk of databases takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
