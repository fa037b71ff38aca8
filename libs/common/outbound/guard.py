"""Decides where a request of ours may go: to public addresses, or to those that the installation names.

What counts is the address actually dialled, whatever the URL or the name server said: each socket is made by
`Guard.socket_factory`, which is asked with that address and may refuse. Checking names before would leave the gap in
which a name changes its address.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

type Address = IPv4Address | IPv6Address
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
_UNICAST = ip_network("2000::/3")  # all of IPv6 that is handed out as global unicast
_NOT_PUBLIC = [  # what this Python's `is_global` lets pass (RFC 6890, 7526, 9637)
    ip_network(network) for network in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")
]
_OF_PLATFORMS = [ip_network("168.63.129.16/32")]  # global by its number, and inside Azure the machine's own platform


class AddressRefused(OSError):
    """The address is none that we may reach. Its text names no address: strangers may be shown it."""

    def __init__(self) -> None:
        super().__init__("The address is not one that may be reached from here.")


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

    def __init__(self, allowed: Iterable[str], *, require_https: bool) -> None:
        self._allowed = [ip_network(network) for network in allowed]
        self._require_https = require_https

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


class Resolver(AbstractResolver):
    """The system's name lookup, on threads of its own: slow name servers of some hold up nothing else."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "names")

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
