"""One dispatcher with its servers, endpoints of every kind, and who publishes."""

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

from bench import machine
from libs.common.bus.rabbit import RabbitBus
from libs.common.clock import now
from libs.common.contracts.log import LoggedEvent
from libs.common.db.engine import Database
from libs.common.db.sealing import Sealer
from libs.common.ids import new_id
from tests.support.servers import Servers, as_service
from tests.support.waiting import eventually

KEY = base64.b64encode(bytes(32)).decode()
EACH = 20  # subscriptions of an account
WORDS = "common words of a message that somebody wrote in a space where people meet"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ANSWERS = {"fail": OK.replace(b"200 OK", b"500 Oh"), "gone": OK.replace(b"200 OK", b"410 Gone")}
_SUBSCRIBE = text("""
INSERT INTO webhook_subscriptions (id, space_type, space_id, webhook_url, events, secret_sealed, created_by)
VALUES (:id, 'post', :space_id, :url, '{chat}', :sealed, :account)
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
