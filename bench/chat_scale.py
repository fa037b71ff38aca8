"""Does chat stay flat in one space with very many messages?  `python -m bench.chat_scale 100000 10000000`

For each size: fills a fresh database of a server of its own with messages of one space over two and a half months (one
in ten a reply in one thread, one in three in Chinese, one in a hundred thousand with the rare words) by COPY, one
partition after the other, with the indexes made afterwards. Then it times the repository's own queries and the
service's posts, drops a month while somebody writes, and, for the last size, shows the plans. Prints Markdown; says on
stderr how far it is. Nothing is left behind.
"""

import asyncio
import itertools
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from bench import machine
from libs.common.bus.base import Caller
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.cache import RedisClient
from libs.common.clock import now
from libs.common.contracts.chat import Message, PostMessage
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog
from libs.common.identity import Identity
from libs.common.ids import new_id
from libs.common.spaces import LOBBY
from services.chat.inbox import read_cursors_repository
from services.chat.messages import message_pages_repository as pages
from services.chat.messages import messages_repository
from services.chat.messages.message_pages_repository import Page
from services.chat.messages.messages_repository import StoredMessage
from services.chat.messages.new_messages import PostHandlers
from services.chat.notifications.notifier import Notifier
from services.chat.notifications.recipients import Recipients
from services.chat.retention import months_repository as months
from services.chat.retention.retention import following
from services.chat.rules.filters import shipped
from services.chat.rules.policy import Policy
from tests.support.servers import Servers

ROUNDS = 50
LINES = 5000  # of one block of COPY
SPAN = timedelta(days=75)
WORDS = 20_000  # different ones, two of them in each message
SIGNS = 3000  # of Chinese, 16 of them in a message; the commonest is one in 14, as in real texts
BATCH = 50  # messages of one transaction
COLUMNS = (
    "id", "seq", "space_type", "space_id", "subspace", "author_key", "user_account", "display_name", "message_type",
    "content", "parent_message_id", "client_message_id", "created_at", "updated_at",
)  # fmt: skip


@dataclass(frozen=True)
class Fill:
    """Messages numbered from 1 to `total`, evenly over `SPAN`. Every tenth is in the first one's thread."""

    total: int
    start: datetime

    @property
    def thread(self) -> str:
        return self.id_of(0)

    def number_at(self, moment: datetime) -> int:
        """Of the first message that is not before `moment`."""
        return min(max(-int(-((moment - self.start) / SPAN * self.total) // 1), 1), self.total + 1)

    def id_of(self, number: int) -> str:
        milliseconds = round((self.start + SPAN * number / self.total).timestamp() * 1000)
        first, last = f"{milliseconds:012x}", f"{number:012x}"
        return f"{first[:8]}-{first[8:]}-7000-8000-{last}"

    def lines(self, first: int, after: int) -> Iterator[bytes]:
        """Blocks of COPY's text format."""
        thread, start, step = self.thread, self.start, SPAN / self.total
        for block in range(first, after, LINES):
            rows = []
            for n in range(block, min(block + LINES, after)):
                who, moment = f"user{n % 1000}", (start + step * n).isoformat()
                words = text_of(n)
                parent = thread if n % 10 == 0 else "\\N"
                rows.append(
                    f"{self.id_of(n)}\t{n}\tglobal\tlobby\tmain\taccount:{who}\t{who}\t{who}\ttext\t{words}\t{parent}"
                    f"\t{n}\t{moment}\t{moment}\n"
                )
            yield "".join(rows).encode()


def text_of(n: int) -> str:
    """Returns what message number `n` says."""
    rare = n % 100_000 == 0
    if n % 3 == 1:
        chance = random.Random(n)
        signs = "".join(chr(0x4E00 + int(SIGNS * chance.random() ** 3)) for _ in range(16))
        return f"{signs[:8]}\uff0c{signs[8:]}"
    words = f"common words of message {n} w{n * 7919 % WORDS} w{n * 104729 % WORDS}"
    return f"{words} rarity 鸑鷟 scene-{n}.glb" if rare else words


async def load(url: str, fill: Fill) -> None:
    """COPY month by month, then the indexes, as `pg_indexes` had them, and statistics."""
    owner: Any = await asyncpg.connect(url, command_timeout=3600)
    try:
        await owner.execute("SET maintenance_work_mem = '512MB'; SET max_parallel_maintenance_workers = 2")
        indexes = await owner.fetch("""
            SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS made FROM pg_index
            WHERE indrelid = 'chat_messages'::regclass AND NOT indisprimary""")
        for index in indexes:
            await owner.execute(f"DROP INDEX {index['name']}")
        month = fill.start.date().replace(day=1)
        while datetime(month.year, month.month, 1, tzinfo=UTC) <= fill.start + SPAN:
            await owner.execute("SET ROLE presence_chat")  # whoever drops a month must have made it
            await owner.execute("SELECT chat_partitions.make_month($1)", month)
            await owner.execute("RESET ROLE")
            await copy_month(owner, fill, month)
            month = following(month)
        for index in indexes:
            await owner.execute(index["made"].replace("ON ONLY", "ON"))
            say(f"{index['name']} is made")
        await owner.execute("VACUUM (ANALYZE) chat_messages")
    finally:
        await owner.close()


async def copy_month(owner: Any, fill: Fill, month: date) -> None:
    first, after = (fill.number_at(datetime(m.year, m.month, 1, tzinfo=UTC)) for m in (month, following(month)))

    async def blocks() -> AsyncIterator[bytes]:
        for block in fill.lines(first, after):
            yield block

    schema, table = months.partition("chat_messages", month).split(".")
    await owner.copy_to_table(table, schema_name=schema, source=blocks(), columns=COLUMNS, timeout=3600)
    say(f"{month:%Y-%m}: {after - first:,} messages")


def queries(fill: Fill) -> dict[str, Callable[[AsyncConnection], Awaitable[Any]]]:
    newest = Page(LOBBY, "main", 50)
    return {
        "newest page": lambda c: pages.read(c, newest),
        "page in the middle": lambda c: pages.read(c, newest.before(fill.total // 2)),
        "page after": lambda c: pages.read(c, newest.after(fill.total // 2)),
        "thread": lambda c: pages.read(c, Page(LOBBY, "main", 50, fill.thread).after(0)),
        "unread, 40 behind": lambda c: read_cursors_repository.of_space(c, LOBBY, "alice", fill.total - 40),
        "unread, all of it": lambda c: read_cursors_repository.of_space(c, LOBBY, "alice", 0),
        "search, a common word": lambda c: pages.read(c, Page(LOBBY, "main", 50, q="common")),
        "search, a rare word": lambda c: pages.read(c, Page(LOBBY, "main", 50, q="rarity")),
        "search, no such word": lambda c: pages.read(c, Page(LOBBY, "main", 50, q="nowhere")),
        "search, a common sign": lambda c: pages.read(c, Page(LOBBY, "main", 50, q="一")),
        "search, two signs in a sentence": lambda c: pages.read(c, Page(LOBBY, "main", 50, q=text_of(700_000)[1:3])),
        "search, four signs in a sentence": lambda c: pages.read(c, Page(LOBBY, "main", 50, q=text_of(700_000)[1:5])),
        "search, two rare signs": lambda c: pages.read(c, Page(LOBBY, "main", 50, q="鸑鷟")),
        "search, a file's name": lambda c: pages.read(c, Page(LOBBY, "main", 50, q="scene-100000.glb")),
    }


@dataclass
class Found:
    """The figures of one size: the median and the worst of each query, in milliseconds, and how the month went."""

    total: int
    filled: float  # seconds
    taken: dict[str, tuple[float, float]] = field(default_factory=dict)
    dropped: str = ""
    plans: str = ""


async def measure(database: Database, fill: Fill, found: Found) -> None:
    for name, query in queries(fill).items():
        taken = []
        async with database.read() as connection:
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await query(connection)
                taken.append((time.perf_counter() - began) * 1000)
        taken.sort()
        found.taken[name] = taken[ROUNDS // 2], taken[-1]


async def measure_posting(database: Database, found: Found) -> None:
    """Times a post until it is committed, and of a batch of them, through all that the service does with it."""
    policy = Policy(())
    recipients, notifier = Recipients(policy), Notifier(RedisClient("redis://127.0.0.1:1"))  # which nobody starts
    log = EventLog(database, MemoryBus(MemoryBroker()))
    posts = PostHandlers(database, log, policy, recipients, notifier, shipped())
    number = itertools.count(1)

    async def post() -> None:
        n = next(number)
        who = f"user{n % 1000}"
        caller = Caller(Identity("account", who, who), "bench", "203.0.113.9")
        await posts.post_message(caller, PostMessage("global", "lobby", text_of(n)))

    for name, size in (("a post", 1), (f"{BATCH} posts at once", BATCH)):
        taken = []
        for _ in range(2 * ROUNDS):
            began = time.perf_counter()
            await asyncio.gather(*(post() for _ in range(size)))
            taken.append((time.perf_counter() - began) * 1000)
        taken.sort()
        found.taken[name] = taken[ROUNDS], taken[-1]


async def plans(database: Database, fill: Fill) -> str:
    """Returns PostgreSQL's plan of each query; of a search, that of its second step."""
    said: list[tuple[str, Any]] = []
    event.listen(database._engine.sync_engine, "before_cursor_execute", lambda *a: said.append((a[2], a[3])))  # noqa: SLF001
    shown = ""
    for name, query in queries(fill).items():
        async with database.read() as connection:
            await query(connection)
            statement, parameters = said[-1]
            explained = f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {statement}"
            rows = await connection.exec_driver_sql(explained, parameters)
            shown += f"\n**{name}**\n\n```\n" + "\n".join(row[0] for row in rows) + "\n```\n"
    return shown


async def drop_month(database: Database, month: date) -> str:
    """Detach and drop the oldest month while a writer writes."""
    waits: list[float] = []
    done = asyncio.Event()

    async def write() -> None:
        number = 10**9
        while not done.is_set():
            began = time.perf_counter()
            async with database.transaction() as connection:
                await messages_repository.insert(connection, [written(number := number + 1)])
            waits.append((time.perf_counter() - began) * 1000)

    writer = asyncio.create_task(write())
    began = time.perf_counter()
    await months.detach(database, month)
    detached = time.perf_counter()
    async with database.transaction() as connection:
        await months.drop(connection, month)
    dropped = time.perf_counter()
    done.set()
    await writer
    return (
        f"detached in {detached - began:.3f} s and dropped in {dropped - detached:.3f} s; "
        f"meanwhile {len(waits)} messages were written, the slowest in {max(waits):.0f} ms"
    )


def written(number: int) -> StoredMessage:
    moment = now()
    message = Message(
        new_id(), number, "global", "lobby", "main", "alice", False, "alice", "text", "written meanwhile", None, 0, {},
        [], False, False, moment, moment, str(number),
    )  # fmt: skip
    return StoredMessage(message, "account:alice")


async def one_size(servers: Servers, total: int, *, explain: bool) -> Found:
    url = await servers.new_database()
    fill = Fill(total, (now() - SPAN).replace(hour=0, minute=0, second=0, microsecond=0))
    began = time.perf_counter()
    await load(url, fill)
    found = Found(total, time.perf_counter() - began)
    database = Database(url, "chat", 4)
    try:
        await measure(database, fill, found)
        await measure_posting(database, found)
        found.plans = await plans(database, fill) if explain else ""
        found.dropped = await drop_month(database, fill.start.date().replace(day=1))
    finally:
        await database.stop()
    return found


def report(sizes: list[Found]) -> str:
    lines = ["# Chat in one space with very many messages", ""]
    lines += [f"- {name}: {value}" for name, value in machine.description().items()]
    lines += ["", f"Median / worst of {ROUNDS}, in milliseconds, through the service's own queries.", ""]
    lines.append("| query | " + " | ".join(f"{found.total:,} messages" for found in sizes) + " |")
    lines.append("|---|" + "---|" * len(sizes))
    for name in sizes[0].taken:
        cells = (f"{found.taken[name][0]:.1f} / {found.taken[name][1]:.0f}" for found in sizes)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "The oldest month, while somebody writes:", ""]
    lines += [f"- {found.total:,} (filled in {found.filled:.0f} s): {found.dropped}" for found in sizes]
    return "\n".join([*lines, "", f"## Plans, {sizes[-1].total:,} messages", sizes[-1].plans])


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def main(totals: list[int]) -> None:
    servers = Servers()
    try:
        found = [await one_size(servers, total, explain=total == totals[-1]) for total in totals]
    finally:
        await asyncio.to_thread(servers.end)
    print(report(found))


if __name__ == "__main__":
    asyncio.run(main([int(total) for total in sys.argv[1:]] or [100_000]))
