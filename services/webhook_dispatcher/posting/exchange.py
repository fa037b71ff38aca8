"""One POST and its answer over a connection, by HTTP/1.1 (RFC 9112).

What counts is the status line. Once it is there the endpoint has answered, whatever follows it: a body after 204, a
header without an end, a connection that breaks.
"""

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import h11

from libs.common.contracts.webhooks.ping import CHALLENGE_HEADER
from services.webhook_dispatcher.posting.wire import Wire

LONGEST_HEAD = 256 * 1024  # bytes of an answer's head that are looked at: an endpoint's odd headers are no failure
BODY_LIMIT = 16 * 1024  # bytes of an answer's body that are read
BODY_SECONDS = 1.0
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?=[ \r\n])")
_CHALLENGE = CHALLENGE_HEADER.lower().encode()
_LONGEST_STATUS_LINE = 64  # bytes of it that matter


class NoAnswer(OSError):
    """The connection was closed before a status line came."""


class NotHttp(OSError):
    """What came first is no status line."""


@dataclass(slots=True)
class Progress:
    """How far the answer has come. `status` is that of the last status line, None before; never of a 1xx."""

    status: int | None = None
    retry_after: str | None = None  # the header as it came
    encoding: str | None = None  # of the body, likewise
    challenge: str | None = None  # X-DLUX-Challenge, likewise
    body: bytearray = field(default_factory=bytearray)  # the beginning of it
    has_begun: bool = False  # the endpoint has sent something


@dataclass(frozen=True, slots=True)
class Request:
    """`target` and `authority` as they stand in the request line and in `Host`."""

    target: str
    authority: str
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """Use once, with a connection that nothing is under way on."""

    def __init__(self, wire: Wire, progress: Progress) -> None:
        self._wire = wire
        self._progress = progress
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
        self._line = b""  # the beginning of the answer's head

    async def make(self, request: Request) -> bool:
        """Sends the request and reads the answer into `progress`; returns whether the connection can be used again.

        Raises `OSError` if there is none. An answer that breaks off after its status line is an answer.
        """
        self._wire.write(self._encoded(request))
        try:
            await self._read_head()
        except (h11.RemoteProtocolError, ConnectionError) as error:
            if self._progress.status is None:
                raise NotHttp from error
            return False
        return await self._read_body()

    def _encoded(self, request: Request) -> bytes:
        headers = [
            ("Host", request.authority),
            ("Accept", "*/*"),
            ("Content-Length", str(len(request.body))),
            *request.headers.items(),
        ]
        events = (
            h11.Request(method="POST", target=request.target, headers=headers),
            h11.Data(data=request.body),
            h11.EndOfMessage(),
        )
        return b"".join(self._http.send(event) or b"" for event in events)

    async def _read_head(self) -> None:
        """Returns when the head is read, or the endpoint closed the connection after the status line."""
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Response):
                self._progress.status = event.status_code
                self._progress.retry_after = _header(event, b"retry-after")
                self._progress.encoding = _header(event, b"content-encoding")
                self._progress.challenge = _header(event, _CHALLENGE)
                return
            if isinstance(event, h11.InformationalResponse):  # the answer proper follows
                self._line, self._progress.status = b"", None
                self._note(self._http.trailing_data[0])
            elif event is h11.NEED_DATA:
                await self._receive()

    async def _receive(self) -> None:
        data = await self._wire.read()
        if not data and self._progress.status is None:
            raise NoAnswer
        self._progress.has_begun = True
        self._note(data)
        self._http.receive_data(data)

    def _note(self, data: bytes) -> None:
        """Keeps the status as soon as its line is there."""
        if len(self._line) < _LONGEST_STATUS_LINE:
            self._line += data[:_LONGEST_STATUS_LINE]
            found = _STATUS_LINE.match(self._line)
            if found and not found[1].startswith(b"1"):
                self._progress.status = int(found[1])

    async def _read_body(self) -> bool:
        """Reads the beginning of the body; after a short one the connection can be used again."""
        left = BODY_LIMIT
        with contextlib.suppress(TimeoutError, OSError, h11.RemoteProtocolError):
            async with asyncio.timeout(BODY_SECONDS):
                while left > 0:
                    event = self._http.next_event()
                    if isinstance(event, h11.Data):
                        left -= len(event.data)
                        self._progress.body += event.data
                    elif event is h11.NEED_DATA:
                        self._http.receive_data(await self._wire.read())
                    else:
                        return self._is_reusable()
        return False

    def _is_reusable(self) -> bool:
        is_kept = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        return is_kept and not self._http.trailing_data[0] and self._wire.is_quiet


def _header(response: h11.Response, wanted: bytes) -> str | None:
    values = [value for name, value in response.headers if name == wanted]
    return values[0].decode("latin-1") if values else None
