"""Does what is old go without holding anybody up, and does the database stop growing?  `python -m bench.retention`

    python -m bench.retention expired 5000000    rows whose time is over, in five tables: the longest statement
    python -m bench.retention month 1000000      a month of the log goes: how long, and how long a writer waits
    python -m bench.retention migrate 1000000    a log of before becomes months: the same
    python -m bench.retention growth 1000 240    10,000 messages a minute, scaled down 1:1000, for 240 days: sizes

On servers of its own, with the services' own pruning. Prints Markdown.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, text

from bench import parts
from libs.common.clock import now
from libs.common.db import log_retention
from libs.common.db.engine import Database
from libs.common.ids import new_id
from services.chat.retention.retention import Retention as ChatRetention
from services.spaces_auth.retention.retention import Retention
from services.webhook_dispatcher.retention import Pruner
from tests.support.servers import Servers

LOG_DAYS, STAY_LOG_DAYS = 90, 7
A_MINUTE = 10_000  # messages
CHUNK = 250_000
GOAL_SECONDS = 1.0
WORDS = "common words of a message that somebody wrote in a space where people meet, number "

# UUIDv7, as it is made at a moment; `n` keeps it apart from others of that millisecond.
_ID_AT = """
CREATE FUNCTION id_at(moment timestamptz, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '70008000'
    || lpad(to_hex(n), 12, '0'))::uuid
$$
"""
_SUBSCRIPTION = """
INSERT INTO webhook_subscriptions (id, space_type, space_id, webhook_url, events, secret_sealed, created_by)
VALUES (:id, 'global', 'lobby', 'https://myapp.example/webhook', '{chat}', '', 'alice')
"""
_EXPIRED = {
    "presence_sessions": """
        INSERT INTO presence_sessions (id, space_type, space_id, subspace, socket_id, replica_id, display_name, left_at)
        SELECT gen_random_uuid(), 'global', 'lobby', 'main', 's' || n, 'r1', 'Guest', now() - interval '1 day'
        FROM generate_series(cast(:first AS int), cast(:last AS int)) n""",
    "space_activity": """
        INSERT INTO space_activity (event_id, space_type, space_id, activity, actor, occurred_at, summed, data)
        SELECT gen_random_uuid(), 'global', 'lobby', 'spaces.member_joined', 'guest:' || n, now() - interval '40 days',
          true, jsonb_build_object('session_id', gen_random_uuid())
        FROM generate_series(cast(:first AS int), cast(:last AS int)) n""",
    "event_log": """
        INSERT INTO event_log (id, name, space_type, space_id, seq, actor, payload, request_id, occurred_at,
          published_at)
        SELECT id_at(now() - interval '20 days', n), 'spaces.member_joined', 'global', 'lobby', n, 'guest:' || n,
          jsonb_build_object('session_id', gen_random_uuid(), 'guest', true), 'r', now() - interval '20 days', now()
        FROM generate_series(cast(:first AS int), cast(:last AS int)) n""",
    "webhook_deliveries": """
        WITH made AS (
          INSERT INTO webhook_deliveries (id, subscription_id, event_id, webhook_id, event, sequence, body, actor,
            status, attempts, finished_at)
          SELECT gen_random_uuid(), :subscription, gen_random_uuid(), 'msg_' || n, 'chat', n,
            convert_to(repeat('x', 500), 'UTF8'), 'account:alice', 'delivered', 1, now() - interval '40 days'
          FROM generate_series(cast(:first AS int), cast(:last AS int)) n RETURNING id)
        INSERT INTO webhook_attempts (delivery_id, duration_ms, status_code) SELECT id, 20, 200 FROM made""",
    "inbox": """
        INSERT INTO inbox SELECT 'webhook_dispatcher', gen_random_uuid(), now() - interval '9 days'
        FROM generate_series(cast(:first AS int), cast(:last AS int)) n""",
}
_MESSAGES_LOGGED = """
INSERT INTO event_log (id, name, space_type, space_id, subspace, seq, actor, payload, request_id, occurred_at,
  published_at, subject)
SELECT id_at(moment, n), 'chat.message_posted', 'global', 'lobby', 'main', n, 'account:user' || n % 1000,
  jsonb_build_object('id', id_at(moment, n), 'seq', n, 'space_type', 'global', 'space_id', 'lobby', 'subspace', 'main',
    'user_account', 'user' || n % 1000, 'guest', false, 'display_name', 'user' || n % 1000, 'message_type', 'text',
    'content', cast(:words AS text) || n, 'parent_message_id', null, 'thread_count', 0, 'reactions', '{}'::jsonb,
    'mentions', '[]'::jsonb, 'is_edited', false, 'is_deleted', false, 'created_at', moment, 'updated_at', moment,
    'client_message_id', n::text),
  gen_random_uuid()::text, moment, moment, id_at(moment, n)
FROM (SELECT n, cast(:begins AS timestamptz) + (n - :first) * cast(:apart AS interval) AS moment
  FROM generate_series(cast(:first AS bigint), cast(:last AS bigint)) n) AS said
"""
_MESSAGES = """
INSERT INTO chat_messages (id, seq, space_type, space_id, subspace, author_key, user_account, display_name,
  message_type, content, client_message_id, created_at, updated_at)
SELECT subject, seq, space_type, space_id, subspace, actor, payload->>'user_account', payload->>'display_name', 'text',
  payload->>'content', payload->>'client_message_id', occurred_at, occurred_at
FROM event_log WHERE (space_type, space_id) = ('global', 'lobby') AND seq BETWEEN :first AND :last
"""
# One visit for ten messages; one delivery for ten.
_VISITS = """
INSERT INTO event_log (id, name, space_type, space_id, seq, actor, payload, request_id, occurred_at, published_at)
SELECT id_at(occurred_at, seq * 4 + act), 'spaces.member_' || CASE act WHEN 1 THEN 'joined' ELSE 'left' END, 'post',
  'bob/hall', seq * 2 + act, 'guest:' || seq, jsonb_build_object('session_id', gen_random_uuid(), 'guest', true), 'r',
  occurred_at, occurred_at
FROM event_log, generate_series(1, 2) act
WHERE (space_type, space_id) = ('global', 'lobby') AND seq BETWEEN :first AND :last AND seq % 10 = 0
"""
_ACTIVITY = """
INSERT INTO space_activity (event_id, space_type, space_id, activity, actor, occurred_at, summed)
SELECT id, space_type, space_id, name, actor, occurred_at, true FROM event_log WHERE id >= id_at(:begins, 0)
"""
_DELIVERIES = """
INSERT INTO webhook_deliveries (id, subscription_id, event_id, webhook_id, event, sequence, body, actor, status,
  attempts, finished_at)
SELECT id, :subscription, id, 'msg_' || id, 'chat', seq, convert_to(payload::text, 'UTF8'), actor, 'delivered', 1,
  occurred_at
FROM event_log WHERE (space_type, space_id) = ('global', 'lobby') AND seq BETWEEN :first AND :last AND seq % 10 = 0
"""


class Stopwatch:
    """The longest statement while the block lasts, in seconds; one runs at a time."""

    def __init__(self) -> None:
        self.longest, self.statements, self._began = 0.0, 0, 0.0

    def __enter__(self) -> "Stopwatch":
        event.listen(Engine, "before_cursor_execute", self._before)
        event.listen(Engine, "after_cursor_execute", self._after)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_cursor_execute", self._before)
        event.remove(Engine, "after_cursor_execute", self._after)

    def _before(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def _after(self, *_: Any) -> None:
        self.statements += 1
        self.longest = max(self.longest, time.perf_counter() - self._began)


async def run(owner: Database, statement: str, **values: Any) -> None:
    async with owner.transaction() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(text(statement), values)


async def value(owner: Database, statement: str) -> Any:
    async with owner.read() as connection:
        return (await connection.execute(text(statement))).scalar_one()


async def vacuum(owner: Database) -> None:
    async with owner.autocommit() as connection:
        await connection.execute(text("SET statement_timeout = 0"))
        await connection.execute(text("VACUUM ANALYZE"))


async def make_months(owner: Database, first: datetime, last: datetime) -> None:
    month = first.date().replace(day=1)
    while month <= last.date():
        await run(owner, f"SELECT log_partitions.make_month('{month}')")
        as_chat = "DO $$ BEGIN SET LOCAL ROLE presence_chat; PERFORM chat_partitions.make_month('{}'); END $$"
        await run(owner, as_chat.format(month))
        month = (month + timedelta(days=31)).replace(day=1)


@asynccontextmanager
async def writing(database: Database) -> AsyncIterator[list[float]]:
    """Writes an event every ten milliseconds while the block lasts; yields how long each took, in seconds."""
    taken: list[float] = []
    insert = text(
        "INSERT INTO event_log (id, name, space_type, space_id, seq, actor, payload, request_id, occurred_at)"
        " VALUES (:id, 'test.fell', 'event', 'party', :seq, 'account:alice', '{}', 'r', now())"
    )

    async def write_forever() -> None:
        while True:
            began = time.perf_counter()
            async with database.transaction() as connection:
                await connection.execute(insert, {"id": new_id(), "seq": len(taken)})
            taken.append(time.perf_counter() - began)
            await asyncio.sleep(0.01)

    writer = asyncio.create_task(write_forever())
    try:
        yield taken
    finally:
        writer.cancel()
        with suppress(asyncio.CancelledError):
            await writer


async def expired(servers: Servers, rows: int = 5_000_000) -> None:
    """Rows in five tables, all of them over; pruned by their services as these do when they start."""
    url = await servers.new_database()
    owner, spaces_auth = Database(url, None, 2), Database(url, "spaces_auth", 2)
    dispatcher = Database(url, "webhook_dispatcher", 2)
    await run(owner, _ID_AT)
    subscription = new_id()
    await run(owner, _SUBSCRIPTION, id=subscription)
    await make_months(owner, now() - timedelta(days=40), now())
    each = rows // len(_EXPIRED)
    for table, statement in _EXPIRED.items():
        for first in range(1, each + 1, CHUNK):
            given: dict[str, Any] = {"first": first, "last": min(first + CHUNK - 1, each)}
            if ":subscription" in statement:
                given["subscription"] = subscription
            await run(owner, statement, **given)
        say(f"{each:,} rows in {table}")
    await vacuum(owner)
    print(
        f"\n## {rows:,} rows whose time is over\n\n{each:,} in each of {', '.join(_EXPIRED)}, and as many attempts.\n"
    )
    print("| service | seconds | statements | longest, s | goal | rows left |\n|---|---|---|---|---|---|")
    tables = dict.fromkeys(("presence_sessions", "space_activity", "event_log"), spaces_auth)
    tables |= dict.fromkeys(("webhook_deliveries", "inbox"), dispatcher)
    prunings: dict[str, tuple[Database, Callable[[], Awaitable[None]]]] = {
        "spaces_auth": (spaces_auth, Retention(spaces_auth, LOG_DAYS, STAY_LOG_DAYS, now).prune),
        "webhook_dispatcher": (dispatcher, Pruner(dispatcher, now).prune),
    }
    for service, (database, prune) in prunings.items():
        began = time.perf_counter()
        with Stopwatch() as watch:
            await prune()
        taken = time.perf_counter() - began
        left = [await value(owner, f"SELECT count(*) FROM {name}") for name, of in tables.items() if of is database]
        print(
            f"| {service} | {taken:.0f} | {watch.statements:,} | {watch.longest:.3f} |"
            f" {'' if watch.longest < GOAL_SECONDS else 'missed'} | {sum(left)} |"
        )
    for database in (owner, spaces_auth, dispatcher):
        await database.stop()


async def log_messages(owner: Database, begins: datetime, count: int, span: timedelta) -> None:
    apart = span / count
    for first in range(1, count + 1, CHUNK):
        last = min(first + CHUNK - 1, count)
        given = {"first": first, "last": last, "begins": begins + (first - 1) * apart, "apart": apart, "words": WORDS}
        await run(owner, _MESSAGES_LOGGED, **given)


async def month(servers: Servers, rows: int = 1_000_000) -> None:
    """A month of the log goes while somebody writes."""
    url = await servers.new_database()
    owner, spaces_auth, chat = Database(url, None, 2), Database(url, "spaces_auth", 2), Database(url, "chat", 2)
    await run(owner, _ID_AT)
    begins = (now() - timedelta(days=200)).replace(day=1)
    await make_months(owner, begins, now())
    await log_messages(owner, begins, rows, timedelta(days=25))
    size = await value(owner, "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('event_log')")
    async with writing(chat) as taken:
        await asyncio.sleep(1)
        before, began = list(taken), time.perf_counter()
        dropped = await log_retention.drop_month(spaces_auth, begins + timedelta(days=40))
        seconds = time.perf_counter() - began
        await asyncio.sleep(1)
    print(f"\n## A month of the log goes: {dropped}\n")
    print(f"{rows:,} messages, {int(size):,} bytes with indexes ({int(size) / rows:.0f} a message). It took")
    print(f"{seconds * 1000:.0f} ms; who writes waited {max(taken[len(before) - 1 :]) * 1000:.0f} ms at worst, before")
    print(f"that {max(before) * 1000:.0f} ms.")
    for database in (owner, spaces_auth, chat):
        await database.stop()


async def alembic(url: str, *arguments: str) -> None:
    command = (sys.executable, "-m", "alembic", "-c", "alembic/alembic.ini", *arguments)
    environment = {**os.environ, "PRESENCE_DATABASE_URL": url}
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    if await process.wait():
        raise SystemExit("the migration failed")


async def migrate(servers: Servers, rows: int = 1_000_000) -> None:
    """A log as it was before becomes months, while somebody writes."""
    url = await servers.new_database(migrated=False)
    await alembic(url, "upgrade", "0013")
    owner, chat = Database(url, None, 2), Database(url, "chat", 2)
    await run(owner, _ID_AT)
    await log_messages(owner, now() - timedelta(days=80), rows, timedelta(days=79))
    async with writing(chat) as taken:
        await asyncio.sleep(1)
        before, began = max(taken), time.perf_counter()
        await alembic(url, "upgrade", "0015")
        seconds = time.perf_counter() - began
        await asyncio.sleep(1)
    kept = await value(owner, "SELECT count(*) FROM event_log WHERE name = 'chat.message_posted'")
    began = time.perf_counter()
    await alembic(url, "downgrade", "0013")
    print(f"\n## A log of {rows:,} messages becomes months (migration 0015)\n")
    print(f"{seconds:.1f} s, of which alembic needs about two to start; {kept:,} messages are there. Who writes waited")
    print(f"{max(taken) * 1000:.0f} ms at worst, before that {before * 1000:.0f} ms. The way back took")
    print(f"{time.perf_counter() - began:.0f} s.")
    for database in (owner, chat):
        await database.stop()


async def growth(servers: Servers, scale: int = 1000, days: int = 240) -> None:
    """Days at the goal's rate, scaled down, each followed by what the services prune."""
    url = await servers.new_database()
    owner, spaces_auth, chat = Database(url, None, 2), Database(url, "spaces_auth", 2), Database(url, "chat", 2)
    dispatcher = Database(url, "webhook_dispatcher", 2)
    await run(owner, _ID_AT)
    subscription = new_id()
    await run(owner, _SUBSCRIPTION, id=subscription)
    midnight = now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begins = midnight - timedelta(days=days)
    await make_months(owner, begins, midnight)
    moment = begins
    empty = await value(owner, "SELECT pg_database_size(current_database())")
    a_day = A_MINUTE * 60 * 24 // scale
    print(f"\n## {days} days at {A_MINUTE:,} messages a minute, scaled down 1:{scale:,}\n")
    print(f"{a_day:,} messages a day, a visit and a webhook for every tenth; from {begins:%Y-%m-%d}. Vacuumed once a")
    print("week, as a server does by itself. Megabytes, less those of the empty schema.\n")
    print("| day | database | log | chat | other tables | archives |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        retention = Retention(spaces_auth, LOG_DAYS, STAY_LOG_DAYS, lambda: moment)
        chat_retention, pruner = ChatRetention(chat, folder, lambda: moment), Pruner(dispatcher, lambda: moment)
        for day in range(1, days + 1):
            given = {"first": (day - 1) * a_day + 1, "last": day * a_day}
            apart = timedelta(days=1) / a_day
            await run(owner, _MESSAGES_LOGGED, **given, begins=moment, apart=apart, words=WORDS)
            await run(owner, _MESSAGES, **given)
            await run(owner, _VISITS, **given)
            await run(owner, _ACTIVITY, begins=moment)
            await run(owner, _DELIVERIES, **given, subscription=subscription)
            moment = begins + timedelta(days=day)
            await retention.prune()
            await chat_retention.look_back()
            await pruner.prune()
            if day % 7 == 0:
                await vacuum(owner)
            if day % 10 == 0:
                await tell_sizes(owner, day, empty, Path(folder))
    for database in (owner, spaces_auth, chat, dispatcher):
        await database.stop()


async def tell_sizes(owner: Database, day: int, empty: int, folder: Path) -> None:
    whole = await value(owner, "SELECT pg_database_size(current_database())")
    tree = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('{}')"
    logged, chat = [int(await value(owner, tree.format(table))) for table in ("event_log", "chat_messages")]
    archives = sum(path.stat().st_size for path in await asyncio.to_thread(lambda: list(folder.iterdir())))
    shown = (whole - empty, logged, chat, whole - empty - logged - chat, archives)
    print(f"| {day} | {' | '.join(f'{size / 1e6:.1f}' for size in shown)} |", flush=True)


def say(what: str) -> None:
    print(what, file=sys.stderr)


PARTS: dict[str, parts.Part] = {
    "expired": expired,
    "month": month,
    "migrate": migrate,
    "growth": growth,
}


if __name__ == "__main__":
    asyncio.run(parts.run("Retention", PARTS, *sys.argv[1:]))
