"""From where a request came, when it came through our proxy or only says so."""

import pytest

from libs.common.edge.origin import PROXY_HEADER, client_address
from libs.common.settings import EdgeSettings
from tests.support.settings import defaults

TRUSTED = ("127.0.0.0/8", "::1/128", "10.1.0.0/16", "fd00::/8")
CASES = [
    ("a proxy's word is taken", "127.0.0.1", "203.0.113.9", "203.0.113.9"),
    ("the last entry is the proxy's own", "127.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
    ("spaces do not matter", "10.1.2.3", " 203.0.113.9 ", "203.0.113.9"),
    ("a stranger's is not", "198.51.100.1", "203.0.113.9", "198.51.100.1"),
    ("without the header it is the peer", "127.0.0.1", None, "127.0.0.1"),
    ("an empty header says nothing", "127.0.0.1", "", "127.0.0.1"),
    ("an IPv6 proxy", "::1", "203.0.113.9", "203.0.113.9"),
    ("an IPv6 proxy in a network", "fd00::7", "2001:db8::9", "2001:db8::9"),
    ("an IPv6 client in its short form", "127.0.0.1", "2001:0db8:0:0::9", "2001:db8::9"),
    ("a proxy seen through a dual-stack socket", "::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"),
    ("a stranger seen through a dual-stack socket", "::ffff:198.51.100.1", "203.0.113.9", "198.51.100.1"),
    ("junk is no address", "127.0.0.1", "unknown", "127.0.0.1"),
    ("junk at the end is no address", "127.0.0.1", "203.0.113.9, <script>", "127.0.0.1"),
    ("a port makes it junk", "127.0.0.1", "203.0.113.9:80", "127.0.0.1"),
    ("a trailing comma", "127.0.0.1", "203.0.113.9,", "127.0.0.1"),
    ("a peer that is no address", "unix", "203.0.113.9", "unix"),
    ("no peer", "", "203.0.113.9", ""),
]


@pytest.mark.parametrize(("peer", "header", "address"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_clients_address(peer: str, header: str | None, address: str) -> None:
    headers = {} if header is None else {"X-Forwarded-For": header}
    assert client_address(peer, headers, defaults(EdgeSettings, trusted_proxies=TRUSTED)) == address


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.1.2.3", "198.51.100.1"])
@pytest.mark.parametrize(
    ("shown", "believed"), [("s3cret", True), ("", False), (None, False), ("S3cret", False), ("\xff", False)]
)
def test_with_a_secret_the_proxy_is_who_shows_it_from_wherever(peer: str, shown: str | None, believed: bool) -> None:
    settings = defaults(EdgeSettings, trusted_proxies=TRUSTED, proxy_secret="s3cret")
    headers = {"X-Forwarded-For": "203.0.113.9"} | ({} if shown is None else {PROXY_HEADER: shown})
    assert client_address(peer, headers, settings) == ("203.0.113.9" if believed else peer)
