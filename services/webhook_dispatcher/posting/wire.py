"""One connection to an endpoint, from the address that the guard permits to the bytes that come back."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import cast

import aiohappyeyeballs
from aiohttp.abc import AbstractResolver
from yarl import URL

from libs.common.outbound.guard import Guard

MOST_UNREAD = 256 * 1024  # bytes; with more, the endpoint has to wait
NEXT_ADDRESS_SECONDS = 0.25  # RFC 8305: after which the next of a host's addresses is tried as well


@dataclass(frozen=True, slots=True)
class Origin:
    """What a connection can be used again for. `host` is as name servers know it, without brackets."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: URL) -> "Origin":
        """Raises `ValueError` for a URL that has none."""
        if url.scheme not in ("http", "https") or not url.raw_host or not url.port:
            raise ValueError("not an http or https URL")
        return cls(url.scheme, url.raw_host, url.port)


class Wire(asyncio.Protocol):
    """Collects what comes, for one reader."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._changed = asyncio.Event()
        self._is_over = False

    @property
    def is_quiet(self) -> bool:
        """Whether the endpoint has neither closed the connection nor said anything that was not read."""
        return not self._is_over and not self._received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no class of asyncio's

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._changed.set()
        if len(self._received) >= MOST_UNREAD and self._transport:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, _: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        self._is_over = True
        self._changed.set()

    def write(self, data: bytes) -> None:
        """Raises `ConnectionError` for a connection that is over."""
        if self._is_over or self._transport is None:
            raise ConnectionResetError
        self._transport.write(data)

    async def read(self) -> bytes:
        """Returns what has come, as soon as there is something; nothing when the endpoint has closed the connection."""
        while not self._received and not self._is_over:
            self._changed.clear()
            await self._changed.wait()
        data = bytes(self._received)
        self._received.clear()
        if self._transport and not self._is_over:
            self._transport.resume_reading()
        return data

    def close(self) -> None:
        if self._transport:
            self._transport.abort()


class Dialler:
    """Connects to the addresses that the guard permits, whatever the name said before. Uses no proxy."""

    def __init__(self, guard: Guard, resolver: AbstractResolver) -> None:
        self._guard = guard
        self._resolver = resolver
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])

    async def dial(self, origin: Origin) -> Wire:
        """Returns an open connection. Raises `OSError`: `gaierror`, `AddressRefused`, `SSLError` and others."""
        found = await self._resolver.resolve(origin.host, origin.port, socket.AF_UNSPEC)
        connected = await aiohappyeyeballs.start_connection(
            [
                (address["family"], socket.SOCK_STREAM, address["proto"], "", (address["host"], address["port"]))
                for address in found
            ],
            happy_eyeballs_delay=NEXT_ADDRESS_SECONDS,
            socket_factory=self._guard.socket_factory(origin.scheme),
        )
        tls, name = (self._tls, origin.host) if origin.scheme == "https" else (None, None)
        try:
            _, wire = await asyncio.get_running_loop().create_connection(
                Wire, sock=connected, ssl=tls, server_hostname=name
            )
        except BaseException:
            connected.close()
            raise
        return wire
