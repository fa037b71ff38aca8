"""What an endpoint's bytes mean, and which connections are used again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from libs.common.outbound.guard import Resolver
from services.webhook_dispatcher.guard import WebhookGuard
from services.webhook_dispatcher.sender import Answer, Sender

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Endpoint:
    """Says `answers` in turn, the last for ever, over as many connections as are made; hangs up after `one_each`."""

    answers: list[bytes]
    one_each: bool = False
    stays_open: bool = True
    connections: int = 0
    requests: int = 0
    port: int = 0
    closings: list[asyncio.Event] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        closing = asyncio.Event()
        self.closings.append(closing)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                self.requests += 1
                writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
                await writer.drain()
                if self.one_each or not self.stays_open:
                    break
        if self.stays_open and self.one_each:
            await closing.wait()
        writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"


@contextlib.asynccontextmanager
async def listening(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    server = await asyncio.start_server(endpoint, "127.0.0.1", 0)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        for closing in endpoint.closings:
            closing.set()
        server.close()


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    resolver = Resolver(1)
    guard = WebhookGuard(["127.0.0.0/8"], require_https=True, resolver=resolver)
    sender = Sender(guard, resolver, 1.0)
    await sender.start()
    yield sender
    await sender.stop()


async def post(sender: Sender, endpoint: Endpoint) -> Answer:
    return await sender.post(endpoint.url, b"{}", {"Content-Type": "application/json"})


async def test_a_connection_is_used_again(sender: Sender) -> None:
    async with listening(Endpoint([OK])) as endpoint:
        assert [(await post(sender, endpoint)).status_code for _ in range(5)] == [200] * 5
        assert (endpoint.connections, endpoint.requests) == (1, 5)


async def test_a_connection_that_was_closed_for_being_idle_costs_no_attempt(sender: Sender) -> None:
    async with listening(Endpoint([OK], one_each=True)) as endpoint:
        assert (await post(sender, endpoint)).delivered
        endpoint.closings[0].set()
        assert (await post(sender, endpoint)).delivered
        assert (endpoint.connections, endpoint.requests) == (2, 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\n\r\nleft over",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokleft over",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + bytes(20000),
    ],
)
async def test_what_is_left_over_of_an_answer_is_never_taken_for_the_next(sender: Sender, answer: bytes) -> None:
    async with listening(Endpoint([answer, OK.replace(b"200", b"500")])) as endpoint:
        assert (await post(sender, endpoint)).delivered
        assert (await post(sender, endpoint)).status_code == 500
        assert endpoint.connections == 2


@pytest.mark.parametrize(
    ("answer", "status", "retry_after"),
    [
        (b"HTTP/1.1 200 OK\r\nX: drip", 200, None),
        (b"HTTP/1.1 200\r\n\r\n", 200, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\ndrip", 200, None),
        (b"HTTP/1.1 503 Later\r\nRetry-After: 120\r\n\r\n", 503, "120"),
        (b"HTTP/1.1 410 Gone\r\n\x00\r\n\r\n", 410, None),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n", 202, None),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\nRetry", 500, None),
    ],
)
async def test_the_status_line_counts_whatever_follows(
    sender: Sender, answer: bytes, status: int, retry_after: str | None
) -> None:
    async with listening(Endpoint([answer])) as endpoint:
        got = await post(sender, endpoint)
    assert (got.status_code, got.retry_after, got.is_silent) == (status, retry_after, False)


@pytest.mark.parametrize(
    ("answer", "stays_open", "error"),
    [
        (b"", False, "The connection was closed before an answer."),
        (b"HTTP/1.1 2", False, "The connection was closed before an answer."),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False, "The connection was closed before an answer."),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", True, "The answer was not HTTP/1.1."),
        (b"HTTP/1.1 2000 OK\r\n\r\n", True, "The answer was not HTTP/1.1."),
        (b"HTTP/1.1 20", True, "No answer within 1 seconds."),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", True, "No answer within 1 seconds."),
    ],
)
async def test_without_a_status_line_there_is_no_answer(
    sender: Sender, answer: bytes, stays_open: bool, error: str
) -> None:
    async with listening(Endpoint([answer], stays_open=stays_open)) as endpoint:
        got = await post(sender, endpoint)
    assert (got.status_code, got.error, got.is_silent) == (None, error, True)
