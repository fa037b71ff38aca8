"""Client addresses: one spelling for each, and the ranges that limits and bans are about.

An IPv6 customer has a whole /64 (RFC 6177), so a single IPv6 address says little: limits and bans take its /64.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

IPV6_PREFIX: Final = 64  # bits of an IPv6 address that limits look at


def canonical(address: str) -> str | None:
    """`address` in its one spelling, an IPv4 address mapped into IPv6 as IPv4; None for what is no address."""
    try:
        return str(_unwrapped(address))
    except ValueError:
        return None


def limited(address: str) -> str:
    """Returns the key of a limit per address: the IPv4 address, or the /64 of an IPv6 one; else the text itself."""
    try:
        parsed = _unwrapped(address)
    except ValueError:
        return address
    return str(parsed) if isinstance(parsed, IPv4Address) else str(IPv6Network((parsed, IPV6_PREFIX), strict=False))


def parse_range(text: str) -> str:
    """A CIDR range; an address alone means itself, or its /64 for IPv6. Raises `ValueError` for anything else."""
    if "/" not in text:
        return str(ip_network(limited(str(_unwrapped(text)))))
    network = ip_network(text, strict=False)
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        return str(ip_network(f"{network.network_address.ipv4_mapped}/{network.prefixlen - 96}"))
    return str(network)


def _unwrapped(address: str) -> IPv4Address | IPv6Address:
    """As a dual-stack socket shows IPv4 peers: `::ffff:192.0.2.1` is 192.0.2.1. A zone (`%eth0`) is dropped."""
    parsed = ip_address(address.partition("%")[0])
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed
