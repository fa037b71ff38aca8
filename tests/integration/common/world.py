"""Shared by the tests of the services: settings as declared, callers, conditions, a server that can go away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from aiohttp.test_utils import unused_port
from sqlalchemy import text

from libs.common.bus.base import BusUnavailable, Caller
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.contracts.log import LoggedEvent
from libs.common.db.engine import Database
from libs.common.identity import Identity, Kind


def account(name: str, **changes: Any) -> Identity:
    return Identity("account", name, name, **{"token_id": f"token-of-{name}", **changes})


def guest(guest_id: str = "0192") -> Identity:
    return Identity("guest", guest_id, f"Guest-{guest_id}", token_id=f"token-of-{guest_id}")


def identity(who: str, kind: Kind = "account") -> Identity:
    """`alice`, `guest`, or `anonymous`: a guest who shows no token."""
    if who == "guest":
        return guest()
    if who == "anonymous":
        return Identity("guest", "none", "Guest-none")
    return Identity(kind, who, who, token_id=f"token-of-{who}")


def caller(who: str | Identity = "alice") -> Caller:
    return Caller(identity(who) if isinstance(who, str) else who, "request-1", "203.0.113.9")


class Owner:
    """A connection that may read and write every table."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, None, 4)

    async def sql(self, statement: str, **values: Any) -> Any:
        """Rows of a statement, if it has any."""
        async with self.database.transaction() as connection:
            result = await connection.execute(text(statement), values)
            return result.all() if result.returns_rows else []


@contextlib.asynccontextmanager
async def owner_of(url: str) -> AsyncIterator[Owner]:
    owner = Owner(url)
    try:
        yield owner
    finally:
        await owner.database.stop()


class RecordingBus(MemoryBus):
    """A memory bus that remembers what was published, and can refuse to take it."""

    def __init__(self, broker: MemoryBroker | None = None) -> None:
        super().__init__(broker or MemoryBroker())
        self.published: list[LoggedEvent] = []
        self.failure: Exception | None = None

    async def publish(self, *events: LoggedEvent) -> None:
        if self.failure:
            raise self.failure
        await super().publish(*events)
        self.published += events

    def go_away(self) -> None:
        self.failure = BusUnavailable()

    def come_back(self) -> None:
        self.failure = None


class Proxy:
    """A TCP way to a server, which can be closed and opened again. `url` leads through it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self.port = unused_port()
        login, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}").geturl()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Nothing listens any more, and what was open is cut."""
        if self._server:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onwards, out = await asyncio.open_connection(*self._target)
        self._writers |= {writer, out}
        await asyncio.gather(_pump(reader, out), _pump(onwards, writer))
        self._writers -= {writer, out}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def proxied(url: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(url)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
