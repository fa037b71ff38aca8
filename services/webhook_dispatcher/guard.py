"""Decides where a webhook may go, and tells a subscriber early of a URL that could never be sent to."""

import asyncio
import socket
from collections.abc import Iterable

from aiohttp.abc import AbstractResolver
from yarl import URL

from libs.common.errors import INVALID_INPUT, PresenceError
from libs.common.outbound.guard import Guard

MOST_HOST, MOST_LABEL = 253, 63  # characters of a host's name, and of each part of it
LOOKUP_SECONDS = 2.0  # a subscriber waits for it


class WebhookGuard(Guard):
    """A component. `allowed` are networks that may be reached although they are not public, by http as well.

    `resolver` looks up the names of new URLs, and nothing else.
    """

    def __init__(self, allowed: Iterable[str], *, require_https: bool, resolver: AbstractResolver) -> None:
        super().__init__(allowed, require_https=require_https)
        self._https_alone = require_https
        self._resolver = resolver

    async def start(self) -> None: ...

    async def stop(self) -> None:
        await self._resolver.close()

    async def check(self, text: str) -> None:
        """Refuse early, and with a reason, a URL that could never be sent to. Raises `invalid_input`.

        A name that does not resolve just now is let pass, unless only a named network could make it right.
        """
        url = _parse(text)
        addresses = await self._addresses(url.host or "")
        if any(self.permits(address, url.scheme) for address in addresses):
            return
        if addresses and not any(self.permits(address, "https") for address in addresses):
            raise _bad_url("The host has no public address.")
        if url.scheme == "http" and self._https_alone:
            raise _bad_url("Use https.")

    async def _addresses(self, host: str) -> list[str]:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return [host_info["host"] for host_info in await self._resolver.resolve(host, 0, socket.AF_UNSPEC)]
        except (OSError, UnicodeError):  # TimeoutError is an OSError
            return []


def _parse(text: str) -> URL:
    try:
        url = URL(text)
        host = url.host  # decoded when it is asked for: `xn--a` is no name in any script
    except ValueError as error:
        raise _bad_url("Not a URL.") from error
    if url.scheme not in ("http", "https") or not host:
        raise _bad_url("Not an http or https URL.")
    if not _is_sendable(url.raw_host or ""):
        raise _bad_url("Not a host's name.")
    if url.raw_user is not None or url.raw_password is not None:
        raise _bad_url("Put no name or password into the URL; verify the signature instead.")
    return url


def _is_sendable(host: str) -> bool:
    """Returns whether a name server can be asked for a name, or it is an address (RFC 1035, 2.3.4)."""
    labels = host.removesuffix(".").split(".")
    return ":" in host or (len(host) <= MOST_HOST and all(0 < len(label) <= MOST_LABEL for label in labels))


def _bad_url(text: str) -> PresenceError:
    return PresenceError(INVALID_INPUT, f"webhook_url: {text}", {"fields": {"webhook_url": [text]}})
