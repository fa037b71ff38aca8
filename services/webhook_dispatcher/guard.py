"""Decides where a webhook may go: to public addresses, or to those that the installation names.

What counts is the address actually dialled, whatever the URL or the name server said: each socket to an
endpoint is made by `Guard.socket_factory`, which is asked with that address and may refuse. Checking names
before would leave the gap in which a name changes its address.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType
from yarl import URL

from libs.common.errors import INVALID_INPUT, PresenceError

type Address = IPv4Address | IPv6Address
MOST_HOST, MOST_LABEL = 253, 63  # characters of a host's name, and of each part of it
LOOKUP_SECONDS = 2.0  # a subscriber waits for it
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
_UNICAST = ip_network("2000::/3")  # all of IPv6 that is handed out as global unicast
_NOT_PUBLIC = [  # what this Python's `is_global` lets pass (RFC 6890, 7526, 9637)
    ip_network(network) for network in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")
]
_OF_PLATFORMS = [ip_network("168.63.129.16/32")]  # global by its number, and inside Azure the machine's own platform


class AddressRefused(OSError):
    """The address is none that webhooks may go to. Its text names no address: it is shown to the subscriber."""

    def __init__(self) -> None:
        super().__init__("The address is not one that webhooks may go to.")


def destination(text: str) -> Address:
    """The address that is reached in the end: IPv4 wrapped into IPv6 (mapped, NAT64, 6to4) is taken out."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_public(address: Address) -> bool:
    """Returns whether an address is global unicast, and may be dialled."""
    if not address.is_global or address.is_multicast:
        return False
    if any(address in network for network in (*_NOT_PUBLIC, *_OF_PLATFORMS)):
        return False
    return address.version == 4 or address in _UNICAST


class Guard:
    """`allowed` are networks that may be reached although they are not public, by http as well."""

    def __init__(self, allowed: Iterable[str], *, require_https: bool, resolver: AbstractResolver) -> None:
        self._allowed = [ip_network(network) for network in allowed]
        self._require_https = require_https
        self._resolver = resolver

    def permits(self, address: str, scheme: str) -> bool:
        """Returns whether a socket to `address` may be made for an `http` or `https` URL."""
        final = destination(address)
        if any(final in network for network in self._allowed):
            return True
        return is_public(final) and (scheme == "https" or not self._require_https)

    def socket_factory(self, scheme: str) -> Callable[[AddrInfoType], socket.socket]:
        """For `aiohttp.TCPConnector`. The sockets' maker raises `AddressRefused`."""

        def make(info: AddrInfoType) -> socket.socket:
            family, kind, protocol, _, target = info
            if not self.permits(str(target[0]), scheme):
                raise AddressRefused
            return socket.socket(family, kind, protocol)

        return make

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
        if url.scheme == "http" and self._require_https:
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


class Resolver(AbstractResolver):
    """The system's name lookup, on threads of its own: slow name servers of some hold up nothing else."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every TCP address of `host`, an address included. Raises `OSError`."""
        lookup = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        infos = await asyncio.get_running_loop().run_in_executor(self._threads, lookup)
        return [_found(host, info) for info in infos]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _found(host: str, info: AddrInfoType) -> ResolveResult:
    family, _, protocol, _, target = info
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(
        hostname=host, host=str(target[0]), port=int(target[1]), family=family, proto=protocol, flags=flags
    )
