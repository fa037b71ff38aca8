"""A webhook endpoint to point subscriptions at: it remembers what it was sent and answers as it is told.

async with WebhookSink() as sink:
    sink.answer(500, 200)                       # the first request gets 500, all that follow 200
    ... subscribe sink.url ...
    first, second = await sink.wait_for(2)
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Received:
    """One request. `headers` have lower-case names; `body` is as it came over the wire."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(frozen=True, slots=True)
class Reply:
    """How to answer one request. With `hang` only after `WebhookSink.release`."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hang: bool = False


HANG = Reply(hang=True)


class WebhookSink:
    """Listens on a free port of `host` while the `async with` lasts; by https if it is given a certificate."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self._host, self._tls = host, tls
        self._script: list[Reply] = [Reply()]
        self._changed = asyncio.Condition()
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}/hook"

    def answer(self, *replies: int | Reply) -> None:
        """Sets the answers to the next requests, in turn; the last holds for all that follow."""
        self._script = [Reply(reply) if isinstance(reply, int) else reply for reply in replies]

    def release(self) -> None:
        """Let every request that hangs go on."""
        self._released.set()

    async def wait_for(
        self, count: int, predicate: Callable[[Received], bool] = lambda _: True, seconds: float = WAIT_SECONDS
    ) -> list[Received]:
        """The requests that `predicate` holds for, as soon as there are `count`. Raises `AssertionError` when late."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: len(self._matching(predicate)) >= count)
        except TimeoutError:
            seen = [request.body for request in self.received]
            raise AssertionError(
                f"{len(self._matching(predicate))} of {count} webhooks in {seconds} s: {seen}"
            ) from None
        return self._matching(predicate)

    def _matching(self, predicate: Callable[[Received], bool]) -> list[Received]:
        return [request for request in self.received if predicate(request)]

    async def __aenter__(self) -> "WebhookSink":
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()
        if self._runner:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.path, headers, await request.read())
        reply = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        async with self._changed:
            self.received.append(received)
            self._changed.notify_all()
        if reply.hang:
            await self._released.wait()
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
