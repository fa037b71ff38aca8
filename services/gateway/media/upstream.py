"""Fetches files from the IPFS gateway of the settings, to public addresses only unless the settings name a network."""

from pathlib import Path
from urllib.parse import quote

import aiohttp
from yarl import URL

from libs.common.errors import FORBIDDEN, NOT_FOUND, TOO_LARGE, UNAVAILABLE, PresenceError
from libs.common.outbound.guard import Guard, Resolver
from services.gateway.media.types import ENDINGS
from services.gateway.settings import Settings

CHUNK = 256 * 1024
NOT_THERE = (400, 404, 410)
NAME_THREADS = 4


class Upstream:
    """A component. Redirects are not followed: a gateway that answers by path needs none."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.ipfs_gateway.rstrip("/")
        self._largest = settings.media_largest_bytes
        self._timeout = settings.media_timeout
        self._guard = Guard(settings.ipfs_allowed_networks, require_https=True)
        self._session: aiohttp.ClientSession | None = None
        self._resolver: Resolver | None = None

    async def start(self) -> None:
        self._resolver = Resolver(NAME_THREADS)
        connector = aiohttp.TCPConnector(
            socket_factory=self._guard.socket_factory(URL(self._base).scheme),
            resolver=self._resolver,
            use_dns_cache=False,
            limit=0,  # the door bounds how many there are
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # a proxy would dial for us, unguarded
            auto_decompress=False,
        )

    async def stop(self) -> None:
        if self._session:
            await self._session.close()
        if self._resolver:
            await self._resolver.close()

    async def fetch(self, what: str, into: Path) -> str:
        """Writes `cid[/path]` to a file, and returns the ending that is its type.

        Raises `not_found`, `forbidden` for a type that is not served, `too_large`, and `unavailable`.
        """
        if self._session is None:
            raise PresenceError(UNAVAILABLE)
        url = URL(f"{self._base}/{quote(what)}", encoded=True)
        identity = {"Accept-Encoding": "identity"}
        try:
            async with self._session.get(url, allow_redirects=False, headers=identity) as response:
                ending = self._judge(response)
                await self._write(response, into)
                return ending
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise PresenceError(UNAVAILABLE, "IPFS does not answer.") from error

    def _judge(self, response: aiohttp.ClientResponse) -> str:
        if response.status in NOT_THERE:
            raise PresenceError(NOT_FOUND, "IPFS has no such file.")
        if response.status != 200 or response.headers.get("Content-Encoding", "identity") != "identity":
            raise PresenceError(UNAVAILABLE, "IPFS does not answer.")
        ending = ENDINGS.get(response.content_type)
        if ending is None:
            raise PresenceError(FORBIDDEN, f"Files of the type {response.content_type[:60]} are not served here.")
        if (response.content_length or 0) > self._largest:
            raise self._too_large()
        return ending

    async def _write(self, response: aiohttp.ClientResponse, into: Path) -> None:
        written = 0
        with into.open("wb") as file:  # into the page cache, a piece at a time
            async for chunk in response.content.iter_chunked(CHUNK):
                written += len(chunk)
                if written > self._largest:
                    raise self._too_large()
                file.write(chunk)

    def _too_large(self) -> PresenceError:
        return PresenceError(TOO_LARGE, f"Files above {self._largest} bytes are not served here.")
