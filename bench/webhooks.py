"""Does anybody wait for an endpoint of somebody else, and what does a webhook cost?  `python -m bench.webhooks`

    python -m bench.webhooks beside     300 healthy endpoints alone, and beside 60 that hang and 60 that fail
    python -m bench.webhooks many       1,000 endpoints, 100 events a second, some dripping and some failing
    python -m bench.webhooks over       three times what one dispatcher can do: everything arrives, nothing twice
    python -m bench.webhooks backlog    410, lost access, pausing and deleting with 1,000,000 deliveries pending

The real process on the first core, PostgreSQL, RabbitMQ, publisher and endpoints on the others. Each event is for one
endpoint, and each endpoint is at a loopback address of its own. Prints Markdown.
"""

import asyncio
import base64
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from bench import machine, parts
from libs.common.bus.base import Caller
from libs.common.bus.rabbit import RabbitBus
from libs.common.clock import now
from libs.common.contracts import webhooks
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.webhooks import ChangeSubscription, SubscriptionId
from libs.common.db.engine import Database
from libs.common.db.sealing import Sealer
from libs.common.identity import Identity
from libs.common.ids import new_id
from tests.support.servers import Servers, as_service
from tests.support.waiting import eventually

KEY = base64.b64encode(bytes(32)).decode()
EACH = 20  # subscriptions of an account
WORDS = "common words of a message that somebody wrote in a space where people meet"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ANSWERS = {"fail": OK.replace(b"200 OK", b"500 Oh"), "gone": OK.replace(b"200 OK", b"410 Gone")}
CAPACITY_EVENTS = 6000
PENDING = 1_000_000
OBEYED = 5.0  # seconds
LONGEST = 900.0  # seconds that anything may take
_SUBSCRIBE = text("""
INSERT INTO webhook_subscriptions (id, space_type, space_id, webhook_url, events, secret_sealed, created_by)
VALUES (:id, 'post', :space_id, :url, '{chat}', :sealed, :account)
""")
_FILL = text("""
INSERT INTO webhook_deliveries (id, subscription_id, event_id, webhook_id, event, sequence, body, actor,
  next_attempt_at)
SELECT gen_random_uuid(), :subscription, gen_random_uuid(), 'msg_' || n, 'chat', n,
  convert_to(repeat('x', 500), 'UTF8'), 'account:alice', now() FROM generate_series(1, :count) n
""")


@dataclass
class Sink:
    """Endpoints of every kind on one port: the path says which. Keeps when each delivery arrived, by its event."""

    port: int = 0
    arrived: dict[str, list[float]] = field(default_factory=dict)
    by_kind: Counter[str] = field(default_factory=Counter)
    last: dict[str, float] = field(default_factory=dict)  # when the last request came, by kind
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.connections.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                kind = head.split(b"/", 2)[1].decode()
                self._note(kind, body)
                await self._answer(kind, writer)
        self.connections.discard(task)
        writer.close()

    def _note(self, kind: str, body: bytes) -> None:
        self.by_kind[kind] += 1
        self.last[kind] = time.monotonic()
        if kind == "well":
            name = body.split(b'"message":"', 1)[1].split(b" ", 1)[0].decode()
            self.arrived.setdefault(name, []).append(time.time())

    async def _answer(self, kind: str, writer: asyncio.StreamWriter) -> None:
        if kind == "hang":
            await asyncio.Event().wait()
        while kind == "drip" and not writer.is_closing():
            writer.write(b"H")
            await asyncio.sleep(1)
        writer.write(ANSWERS.get(kind, OK))
        await writer.drain()


@dataclass
class Lab:
    """A dispatcher, its endpoints, and who publishes."""

    servers: Servers
    owner: Database
    bus: RabbitBus
    gateway: RabbitBus
    sink: Sink
    process: asyncio.subprocess.Process
    sealer: Sealer
    sent: dict[str, float] = field(default_factory=dict)  # when an event was published, by its name in the body
    endpoints: int = 0

    async def subscribe(self, kind: str, count: int) -> list[str]:
        """Makes endpoints of a kind, of accounts of their own; returns their spaces."""
        spaces: list[str] = []
        rows: list[dict[str, Any]] = []
        for _ in range(count):
            n = self.endpoints = self.endpoints + 1
            space, id = f"author/{kind}-{n}", new_id()
            url = f"http://127.{1 + n // 62500}.{n // 250 % 250}.{n % 250 + 1}:{self.sink.port}/{kind}/{n}"
            sealed = self.sealer.seal(b"k" * 32, id)
            account = f"{kind}-{len(rows) // EACH}"
            rows.append({"id": id, "space_id": space, "url": url, "sealed": sealed, "account": account})
            spaces.append(space)
        async with self.owner.transaction() as connection:
            await connection.execute(_SUBSCRIBE, rows)
            await connection.execute(
                text("INSERT INTO posts (author, permlink, type, row_hash) VALUES ('author', :permlink, 'art', 'x')"),
                [{"permlink": space.partition("/")[2]} for space in spaces],
            )
        return spaces

    def event(self, space_id: str) -> LoggedEvent:
        name = f"e{len(self.sent)}"
        self.sent[name] = time.time()
        payload = {"id": new_id(), "content": f"{name} {WORDS}", "user_account": "alice", "message_type": "text"}
        where = ("post", space_id, "main", len(self.sent), "account:alice", now())
        return LoggedEvent(new_id(), "chat.message_posted", *where, payload, "request")

    async def publish(self, spaces: list[str], rate: float, seconds: float) -> None:
        """Publishes one event at a time, at a steady rate, for each of the spaces in turn."""
        began, count = time.monotonic(), int(rate * seconds)
        for n in range(count):
            await asyncio.sleep(began + n / rate - time.monotonic())
            await self.bus.publish(self.event(spaces[n % len(spaces)]))

    async def all_arrived(self, wanted: int, longest: float) -> float:
        """Waits until so many events arrived at healthy endpoints, `longest` seconds at most; returns the seconds."""
        began = time.monotonic()
        with suppress(AssertionError):
            await eventually(lambda: len(self.sink.arrived) >= wanted, longest)
        return time.monotonic() - began

    def forget(self) -> None:
        self.sink.arrived.clear()
        self.sink.by_kind.clear()

    @property
    def cpu(self) -> float:
        return machine.cpu_seconds(self.process.pid)


@asynccontextmanager
async def lab(servers: Servers, *, durable_seconds: float = 15) -> AsyncIterator[Lab]:
    url, amqp = await servers.new_database(), await asyncio.to_thread(servers.new_vhost)
    sink = Sink()
    server = await asyncio.start_server(sink, "0.0.0.0", 0, backlog=1000)
    sink.port = server.sockets[0].getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PRESENCE_DATABASE_URL": url,
        "PRESENCE_AMQP_URL": as_service(amqp, "webhook_dispatcher"),
        "PRESENCE_SECRET_KEY": KEY,
        "PRESENCE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "PRESENCE_WEBHOOK_TIMEOUT_SECONDS": str(durable_seconds),
        "PRESENCE_LOG_LEVEL": "info",
        "PRESENCE_OPS_PORT": "0",
    }
    command = (sys.executable, "-m", "services.webhook_dispatcher")
    errors = await asyncio.to_thread(open, os.environ.get("BENCH_LOG", os.devnull), "ab")
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=errors, stderr=errors)
    machine.pin(process.pid, machine.SERVER)
    bus, gateway = (RabbitBus(as_service(amqp, name), "bench") for name in ("chat", "gateway"))
    owner = Database(url, None, 2)
    for one in (bus, gateway):
        await one.start()
    made = Lab(servers, owner, bus, gateway, sink, process, Sealer(KEY))
    try:
        await _warm(made)
        yield made
    finally:
        process.kill()
        await process.wait()
        for one in (bus, gateway):
            await one.stop()
        await owner.stop()
        server.close()
        for task in sink.connections:
            task.cancel()


async def _warm(lab: Lab) -> None:
    spaces = await lab.subscribe("well", 1)
    while not lab.sink.arrived:
        with suppress(Exception):  # it is still starting
            await lab.bus.publish(lab.event(spaces[0]))
        await asyncio.sleep(0.5)
    await asyncio.sleep(2)
    lab.forget()


def times(lab: Lab) -> list[float]:
    """Milliseconds from publishing to the first arrival, sorted."""
    return sorted((moments[0] - lab.sent[name]) * 1000 for name, moments in lab.sink.arrived.items())


def at(values: list[float], part: float) -> str:
    return f"{values[min(int(len(values) * part), len(values) - 1)]:,.0f}" if values else "-"


def row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def head(*cells: str) -> None:
    row(*cells)
    row(*["---"] * len(cells))


async def beside(servers: Servers, seconds: int = 60) -> None:
    """Healthy endpoints alone, then beside hanging and failing ones of three accounts."""
    print(f"\n## 300 healthy endpoints, 20 events/s for them, {seconds} s; the others get 20/s of their own\n")
    head("beside them", "arrived", "p50 ms", "p90 ms", "p99 ms", "longest ms", "CPU ms a delivery")
    async with lab(servers) as made:
        well = await made.subscribe("well", 300)
        await _row_beside(made, "nobody", well, [], seconds)
        others = [*await made.subscribe("hang", 60), *await made.subscribe("fail", 60)]
        await _row_beside(made, "60 hanging, 60 failing", well, others, seconds)


async def _row_beside(made: Lab, name: str, well: list[str], others: list[str], seconds: int) -> None:
    made.forget()
    began = made.cpu
    publishing = [made.publish(well, 20, seconds)]
    if others:
        publishing.append(made.publish(others, 20, seconds))
    await asyncio.gather(*publishing)
    wanted = 20 * seconds
    await made.all_arrived(wanted, 60)
    cost = (made.cpu - began) * 1000 / max(1, sum(made.sink.by_kind.values()))
    found = times(made)
    arrived = f"{len(found):,} of {wanted:,}"
    row(name, arrived, *(at(found, part) for part in (0.5, 0.9, 0.99, 1)), f"{cost:.1f}")


async def many(servers: Servers, seconds: int = 60) -> None:
    print(f"\n## 1,000 endpoints, 100 events/s for {seconds} s, 3 of them dripping and 100 failing\n")
    head("arrived", "p50 ms", "p90 ms", "p99 ms", "longest ms", "CPU ms a delivery", "core used")
    async with lab(servers) as made:
        spaces = await made.subscribe("well", 897)
        spaces += await made.subscribe("drip", 3)
        spaces += await made.subscribe("fail", 100)
        began, started = made.cpu, time.monotonic()
        await made.publish(spaces, 100, seconds)
        taken, used = time.monotonic() - started, made.cpu - began
        wanted = sum(1 for n in range(100 * seconds) if n % 1000 < 897)
        await made.all_arrived(wanted, 60)
        found, attempts = times(made), sum(made.sink.by_kind.values())
        arrived = f"{len(found):,} of {wanted:,}"
        shares = [at(found, part) for part in (0.5, 0.9, 0.99, 1)]
        row(arrived, *shares, f"{used * 1000 / attempts:.1f}", f"{used / taken:.0%}")


async def over(servers: Servers, seconds: int = 30) -> None:
    """What one dispatcher can do, and then three times as much."""
    print("\n## Three times its capacity\n")
    head("", "events", "arrived", "twice", "deliveries/s", "drained after s", "CPU ms a delivery")
    async with lab(servers) as made:
        spaces = await made.subscribe("well", 1000)
        rate = await _flood(made, "as many as it can", spaces, CAPACITY_EVENTS, 100_000)
        made.forget()
        await _flood(made, f"three times that for {seconds} s", spaces, int(3 * rate * seconds), 3 * rate)


async def _flood(made: Lab, name: str, spaces: list[str], count: int, rate: float) -> float:
    """Publishes in tens, as a busy hall's events come; returns the deliveries a second."""
    began, cpu, count = time.monotonic(), made.cpu, count // 10 * 10
    for n in range(0, count, 10):
        await asyncio.sleep(began + n / rate - time.monotonic())
        await made.bus.publish(*(made.event(spaces[(n + k) % len(spaces)]) for k in range(10)))
    offered = time.monotonic() - began
    await made.all_arrived(count, 300)
    taken = time.monotonic() - began
    await asyncio.sleep(25)  # longer than a lease: what is sent twice has come twice by then
    cost = (made.cpu - cpu) * 1000 / max(1, len(made.sink.arrived))
    twice = sum(len(moments) > 1 for moments in made.sink.arrived.values())
    arrived = len(made.sink.arrived)
    row(name, f"{count:,}", f"{arrived:,}", twice, f"{arrived / taken:.0f}", f"{taken - offered:.0f}", f"{cost:.1f}")
    return arrived / taken


async def backlog(servers: Servers, pending: int = PENDING) -> None:
    """Ends a subscription in each way there is. What is obeyed is that no request begins any more."""
    print(f"\n## A subscription ends with {pending:,} deliveries pending; goal: obeyed within {OBEYED:g} s\n")
    head("how", "obeyed after s", "goal", "requests", "rows in order after s")
    for end in (_gone, _lost, _paused, _deleted):
        async with lab(servers) as made:
            await end(made, pending)


async def _pending(made: Lab, kind: str, count: int) -> str:
    """Returns the id of a paused subscription with so much pending."""
    await made.subscribe(kind, 1)
    async with made.owner.transaction() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        found = text(
            "UPDATE webhook_subscriptions SET paused_until = 'infinity' WHERE webhook_url LIKE :url RETURNING id"
        )
        id = str((await connection.execute(found, {"url": f"%/{kind}/%"})).scalar_one())
        await connection.execute(_FILL, {"subscription": id, "count": count})
    await asyncio.sleep(2)
    return id


async def _value(made: Lab, statement: str, **values: object) -> object:
    async with made.owner.transaction() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        return (await connection.execute(text(statement), values)).scalar()


async def _no_more(made: Lab, statement: str, **values: object) -> None:
    """Returns once a query's first value is none or false."""

    async def is_over() -> bool:
        return not await _value(made, statement, **values)

    await eventually(is_over, LONGEST)


async def _open(made: Lab, id: str) -> None:
    """Has what is pending for a subscription sent."""
    made.forget()
    await _value(made, "UPDATE webhook_subscriptions SET paused_until = NULL WHERE id = :id RETURNING 1", id=id)


async def _gone(made: Lab, pending: int) -> None:
    id = await _pending(made, "gone", pending)
    await _open(made, id)
    await eventually(lambda: made.sink.by_kind["gone"])
    await _disabled(made, "410", "gone", id, time.monotonic())


async def _lost(made: Lab, pending: int) -> None:
    """The space is taken away from all."""
    id = await _pending(made, "quick", pending)
    permlink = "SELECT split_part(space_id, '/', 2) FROM webhook_subscriptions WHERE id = :id"
    await _open(made, id)
    await eventually(lambda: made.sink.by_kind["quick"])
    began = time.monotonic()
    await _value(made, f"DELETE FROM posts WHERE permlink = ({permlink}) RETURNING 1", id=id)
    await _disabled(made, "access lost", "quick", id, began)


async def _disabled(made: Lab, name: str, kind: str, id: str, began: float) -> None:
    """Tells of a subscription that is disabled by itself."""
    await _no_more(made, "SELECT active FROM webhook_subscriptions WHERE id = :id", id=id)
    obeyed = max(time.monotonic(), made.sink.last[kind])
    await _no_more(made, "SELECT is_given_up FROM webhook_subscriptions WHERE id = :id", id=id)
    pending = "SELECT 1 FROM webhook_deliveries WHERE subscription_id = :id AND status = 'pending' LIMIT 1"
    await _no_more(made, pending, id=id)
    _row_ended(made, name, kind, max(obeyed, made.sink.last[kind]) - began, time.monotonic() - began)


async def _paused(made: Lab, pending: int) -> None:
    id = await _pending(made, "quick", pending)
    await _open(made, id)
    await eventually(lambda: made.sink.by_kind["quick"])
    began = time.monotonic()
    await made.gateway.call(webhooks.change, ChangeSubscription(id, paused=True), await _owner_of(made, id))
    answered = time.monotonic()
    await asyncio.sleep(2 * OBEYED)  # whatever is sent after it has come by then
    _row_ended(made, "paused", "quick", max(answered, made.sink.last["quick"]) - began, 0)


async def _deleted(made: Lab, pending: int) -> None:
    id = await _pending(made, "quick", pending)
    await _open(made, id)
    await eventually(lambda: made.sink.by_kind["quick"])
    caller = await _owner_of(made, id)
    began = time.monotonic()
    await made.gateway.call(webhooks.unsubscribe, SubscriptionId(id), caller)
    answered = time.monotonic()
    await _no_more(made, "SELECT 1 FROM webhook_deliveries WHERE subscription_id = :id LIMIT 1", id=id)
    _row_ended(made, "deleted", "quick", max(answered, made.sink.last["quick"]) - began, time.monotonic() - began)


async def _owner_of(made: Lab, id: str) -> Caller:
    account = str(await _value(made, "SELECT created_by FROM webhook_subscriptions WHERE id = :id", id=id))
    return Caller(Identity("account", account, account), "bench")


def _row_ended(made: Lab, name: str, kind: str, obeyed: float, in_order: float) -> None:
    missed = "missed" if obeyed > OBEYED else ""
    row(name, f"{obeyed:.1f}", missed, f"{made.sink.by_kind[kind]:,}", f"{in_order:.0f}")


PARTS: dict[str, parts.Part] = {"beside": beside, "many": many, "over": over, "backlog": backlog}


if __name__ == "__main__":
    asyncio.run(parts.run("Webhooks", PARTS, *sys.argv[1:]))
