"""Sends one POST to an endpoint that may be slow, hostile or gone."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import h11
from aiohttp.abc import AbstractResolver
from yarl import URL

from libs.common.metrics import WEBHOOK_ATTEMPTS
from libs.common.outbound.guard import AddressRefused, Guard
from services.webhook_dispatcher.excerpt import excerpt_of
from services.webhook_dispatcher.posting.client import Client
from services.webhook_dispatcher.posting.exchange import NoAnswer, NotHttp, Progress, Request
from services.webhook_dispatcher.posting.wire import Dialler, Origin

ADDRESS_REFUSED = "The address is not one that webhooks may go to."


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a POST. `status_code` is None without an answer; `error` is None only for success (2xx)."""

    status_code: int | None
    error: str | None
    duration_ms: int = 0
    retry_after: str | None = None  # the header as it came
    is_silent: bool = False  # the endpoint could not be reached, or gave no answer in time
    excerpt: str | None = None  # of the body, as the log shows it
    challenge: str | None = None  # the header by which a ping is answered, as it came

    @property
    def delivered(self) -> bool:
        return self.error is None


class Sender:
    """A component. Redirects are not followed, nothing is unpacked, and endpoints share no cookies."""

    def __init__(self, guard: Guard, resolver: AbstractResolver, timeout: float) -> None:
        self._client = Client(Dialler(guard, resolver))
        self._resolver = resolver
        self._timeout = timeout

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self._client.close()
        await self._resolver.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Sends a body and returns the result. A failure of the endpoint is an answer, not an exception."""
        started = time.monotonic()
        progress, error = Progress(), None
        try:
            async with asyncio.timeout(self._timeout):
                target = URL(url)
                request = Request(target.raw_path_qs, target.host_port_subcomponent or "", headers, body)
                await self._client.post(Origin.of(target), request, progress)
        except (OSError, ValueError, RuntimeError, h11.ProtocolError) as failure:  # TimeoutError is an OSError
            error = self._describe(failure)
        if progress.status is not None:  # it has answered, whatever broke off after it
            error = _error_of(progress.status)
        duration = time.monotonic() - started
        WEBHOOK_ATTEMPTS.labels("failed" if error else "delivered").observe(duration)
        milliseconds = round(duration * 1000)
        excerpt = excerpt_of(bytes(progress.body), headers, progress.encoding)
        is_silent = progress.status is None
        return Answer(
            progress.status, error, milliseconds, progress.retry_after, is_silent, excerpt, progress.challenge
        )

    def _describe(self, failure: Exception) -> str:
        """Describes a failure to the subscriber, without any address of ours."""
        if any(isinstance(cause, AddressRefused) for cause in _causes(failure)):
            return ADDRESS_REFUSED
        if isinstance(failure, TimeoutError):
            return f"No answer within {self._timeout:g} seconds."
        if isinstance(failure, ssl.SSLError):
            return f"TLS failed: {failure}"[:300]
        words = (text for kind, text in _WORDS.items() if isinstance(failure, kind))
        return next(words, f"The request failed: {type(failure).__name__}.")


_WORDS = {
    socket.gaierror: "The host's name could not be resolved.",
    NoAnswer: "The connection was closed before an answer.",
    NotHttp: "The answer was not HTTP/1.1.",
    OSError: "The host did not take the connection.",
}


def _error_of(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return f"HTTP {status}: redirects are not followed." if 300 <= status < 400 else f"HTTP {status}."


def _causes(failure: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = failure
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__
