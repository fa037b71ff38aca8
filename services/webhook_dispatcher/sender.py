"""Sends one POST to an endpoint that may be slow, hostile or gone."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver

from libs.common.metrics import WEBHOOK_ATTEMPTS
from libs.common.outbound.guard import AddressRefused, Guard

BODY_LIMIT = 16 * 1024  # bytes of an answer that are read; its status is all that counts
BODY_SECONDS = 1.0
LONGEST_HEADER = 256 * 1024  # bytes of a line of an answer's head: an endpoint's odd headers are no failure
ADDRESS_REFUSED = "The address is not one that webhooks may go to."


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a POST. `status_code` is None without an answer; `error` is None only for success (2xx)."""

    status_code: int | None
    error: str | None
    duration_ms: int = 0
    retry_after: str | None = None  # the header as it came
    is_silent: bool = False  # the endpoint could not be reached, or gave no answer in time

    @property
    def delivered(self) -> bool:
        return self.error is None


class Sender:
    """A component. http and https have a connection pool each, since the guard decides per scheme."""

    def __init__(self, guard: Guard, resolver: AbstractResolver, timeout: float) -> None:
        self._guard = guard
        self._resolver = resolver
        self._timeout = timeout
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def start(self) -> None:
        self._sessions = {scheme: self._session(scheme) for scheme in ("http", "https")}

    async def stop(self) -> None:
        for session in self._sessions.values():
            await session.close()
        await self._resolver.close()

    def _session(self, scheme: str) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            socket_factory=self._guard.socket_factory(scheme),
            resolver=self._resolver,
            use_dns_cache=False,
            limit=0,  # the deliverer bounds how many there are
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),  # endpoints are strangers to each other
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
            trust_env=False,  # a proxy would dial for us, unguarded
            auto_decompress=False,
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Sends a body and returns the result. A failure of the endpoint is an answer, not an exception."""
        started = time.monotonic()
        status, error, retry_after = None, None, None
        try:
            session = self._sessions[url.partition(":")[0].lower()]
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status, retry_after = response.status, response.headers.get("Retry-After")
                error = _error_of(status)
                await _discard(response)
        except (aiohttp.ClientError, OSError, ValueError) as failure:  # TimeoutError is an OSError
            if status is None:  # else it had answered, and only its body broke off
                error = self._describe(failure)
        duration = time.monotonic() - started
        WEBHOOK_ATTEMPTS.labels("failed" if error else "delivered").observe(duration)
        return Answer(status, error, round(duration * 1000), retry_after, is_silent=status is None)

    def _describe(self, failure: Exception) -> str:
        """Describes a failure to the subscriber, without any address of ours."""
        if isinstance(failure, TimeoutError):
            return f"No answer within {self._timeout:g} seconds."
        if any(isinstance(cause, AddressRefused) for cause in _causes(failure)):
            return ADDRESS_REFUSED
        if isinstance(failure, aiohttp.ClientConnectorDNSError):
            return "The host's name could not be resolved."
        if isinstance(failure, aiohttp.ClientSSLError):
            return f"TLS failed: {failure}"[:300]
        if isinstance(failure, aiohttp.ClientConnectorError):
            return "The host did not take the connection."
        return f"The request failed: {type(failure).__name__}."


def _error_of(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return f"HTTP {status}: redirects are not followed." if 300 <= status < 400 else f"HTTP {status}."


async def _discard(response: aiohttp.ClientResponse) -> None:
    """Reads a short body, so that the connection can be used again; after a longer one it is closed."""
    left = BODY_LIMIT
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            while left > 0 and (chunk := await response.content.read(left)):
                left -= len(chunk)


def _causes(failure: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = failure
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__
