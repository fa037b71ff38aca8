"""The relay opens nothing that only its host or its network can reach, in whatever spelling a peer is asked for."""

import ipaddress
import random
from collections.abc import Iterator

import pytest

from deploy.local.servers.coturn import Coturn
from tests.integration.turn.conftest import SECRET
from tests.integration.turn.credentials import issued
from tests.support.turn_probe import FORBIDDEN, GRANTED, IPV4, IPV6, TurnProbe

# The first and the last address of each range, and those that attackers ask for.
DENIED_IPV4 = {
    "this host": ("0.0.0.0", "0.0.0.1", "0.255.255.255"),
    "private": ("10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"),
    "carrier-grade NAT": ("100.64.0.0", "100.127.255.255"),
    "loopback": ("127.0.0.1", "127.0.0.53", "127.255.255.255"),
    "link-local, the cloud's metadata": ("169.254.0.0", "169.254.169.254", "169.254.255.255"),
    "Docker's bridge": ("172.17.0.1",),
    "IETF": ("192.0.0.0", "192.0.0.255", "192.88.99.0", "192.88.99.255"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.255"),
    "benchmarks": ("198.18.0.0", "198.19.255.255"),
    "multicast": ("224.0.0.1", "239.255.255.255"),
    "reserved and broadcast": ("240.0.0.0", "255.255.255.255"),
}
DENIED_IPV6 = {
    "unspecified and loopback": ("::", "::1"),
    "IPv4-compatible": ("::127.0.0.1", "::10.0.0.1", "::10.0.1.0", "::172.17.0.0", "::255.255.255.255"),
    "IPv4-mapped": (
        "::ffff:0.0.0.0",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.0",
        "::ffff:169.254.169.254",
        "::ffff:8.8.8.8",
    ),
    "IPv4-translated": ("::ffff:0:127.0.0.1", "::ffff:0:10.0.0.0"),
    "NAT64": ("64:ff9b::", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::ffff:ffff", "64:ff9b:1::1"),
    "6to4": ("2002::", "2002:7f00:1::", "2002:a00:1::1", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "Teredo and IETF": ("2001::1", "2001:0:7f00:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "discard and dummy": ("100::", "100::1", "100:0:0:1::1"),
    "documentation": ("2001:db8::1", "3fff::1", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "nobody's": ("1::", "200::1", "1000::", "1fff:ffff::1", "4000::", "5f00::1", "a000::1"),
    "private": ("fc00::", "fd00::1", "fd00:ec2::254", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "link-local and site-local": ("fe80::1", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::1", "feff::1"),
    "multicast": ("ff00::", "ff02::1", "ff0e::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
}
PUBLIC_IPV4 = ("1.1.1.1", "8.8.8.8", "9.255.255.255", "100.63.255.255", "128.0.0.1", "172.32.0.1", "223.255.255.254")
PUBLIC_IPV6 = ("2001:200::1", "2001:4860:4860::8888", "2003::1", "2600::1", "2a00:1450:4001::1", "3ffe:ffff::1")


def rows(ranges: dict[str, tuple[str, ...]]) -> list[object]:
    return [pytest.param(peer, id=f"{name} {peer}") for name, peers in ranges.items() for peer in peers]


@pytest.fixture(scope="module")
def relay(production_coturn: Coturn) -> Iterator[TurnProbe]:
    with TurnProbe(production_coturn.port, *issued(production_coturn, SECRET), IPV4) as probe:
        yield probe


@pytest.fixture(scope="module")
def relay_of_ipv6(production_coturn: Coturn) -> Iterator[TurnProbe]:
    with TurnProbe(production_coturn.port, *issued(production_coturn, SECRET), IPV6) as probe:
        yield probe


@pytest.mark.parametrize("peer", rows(DENIED_IPV4))
def test_no_permission_and_no_channel_to(peer: str, relay: TurnProbe) -> None:
    assert (relay.permission(peer), relay.channel(peer)) == (FORBIDDEN, FORBIDDEN)


@pytest.mark.parametrize("peer", rows(DENIED_IPV6))
def test_no_permission_and_no_channel_over_ipv6_to(peer: str, relay_of_ipv6: TurnProbe) -> None:
    assert (relay_of_ipv6.permission(peer), relay_of_ipv6.channel(peer)) == (FORBIDDEN, FORBIDDEN)


def test_no_address_outside_global_unicast_whichever_of_its_bytes_are_zero(relay_of_ipv6: TurnProbe) -> None:
    """coturn 4.6 compares addresses byte by byte, so that a range may have holes."""
    peers = [outside_global_unicast(random.Random(number)) for number in range(500)]
    assert [peer for peer in peers if relay_of_ipv6.permission(peer) != FORBIDDEN] == []


def outside_global_unicast(chance: random.Random) -> str:
    first = chance.choice([0, 0, *range(0x20), *range(0x40, 0x100)])
    others = [chance.choice([0, 0, 1, 255, chance.randrange(256)]) for _ in range(15)]
    return str(ipaddress.IPv6Address(bytes([first, *others])))


@pytest.mark.parametrize("peer", PUBLIC_IPV4)
def test_a_public_address_may_be_reached(peer: str, relay: TurnProbe) -> None:
    assert relay.permission(peer) == GRANTED


@pytest.mark.parametrize("peer", PUBLIC_IPV6)
def test_a_public_ipv6_address_may_be_reached(peer: str, relay_of_ipv6: TurnProbe) -> None:
    assert relay_of_ipv6.permission(peer) == GRANTED


def test_loopback_is_all_that_the_local_stacks_coturn_opens_besides(local_coturn: Coturn) -> None:
    credentials = issued(local_coturn, SECRET)
    with TurnProbe(local_coturn.port, *credentials) as probe:
        assert probe.permission("127.0.0.1") == GRANTED
        assert {probe.permission(peer) for peer in ("10.0.0.1", "169.254.169.254", "192.168.0.1")} == {FORBIDDEN}
    with TurnProbe(local_coturn.port, *credentials, IPV6) as probe:
        assert {probe.permission(peer) for peer in ("::1", "::ffff:127.0.0.1", "fd00::1")} == {FORBIDDEN}
