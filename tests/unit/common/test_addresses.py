"""Addresses in one spelling, and the ranges that limits and bans are about."""

import pytest

from libs.common.addresses import canonical, limited, parse_range


@pytest.mark.parametrize(
    ("address", "spelled"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("unix:", None),
    ],
)
def test_an_address_has_one_spelling(address: str, spelled: str | None) -> None:
    assert canonical(address) == spelled


def test_limits_take_an_ipv6_customer_as_one() -> None:
    assert limited("192.0.2.1") == limited("::ffff:192.0.2.1") == "192.0.2.1"
    assert limited("2001:db8::1") == limited("2001:db8::ffff:1") == "2001:db8::/64"
    assert limited("2001:db8:0:1::1") != limited("2001:db8::1")
    assert limited("nowhere") == "nowhere"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("192.0.2.1/24", "192.0.2.0/24"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::1/128", "2001:db8::1/128"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
    ],
)
def test_a_range_is_what_one_means(text: str, meant: str) -> None:
    assert parse_range(text) == meant


@pytest.mark.parametrize("text", ["", "alice", "192.0.2.0/33", "192.0.2", "1.2.3.4/-1"])
def test_anything_else_is_no_range(text: str) -> None:
    with pytest.raises(ValueError):
        parse_range(text)
