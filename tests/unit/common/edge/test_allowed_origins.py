"""Which pages may call: patterns, and whatever looks like one of ours."""

import pytest

from libs.common.edge.allowed_origins import AllowedOrigins, allowed_origins, origin_of
from libs.common.settings import EdgeSettings, SettingsError
from tests.support.settings import defaults

ALLOWED = AllowedOrigins(
    ("https://dlux.io", "https://*.ipfs.dlux.io", "http://localhost:*", "http://[::1]:*", "https://vr.example:8443")
)

OURS = [
    "https://dlux.io",
    "https://alice.ipfs.dlux.io",
    "https://a.ipfs.dlux.io",
    "https://bob-2.ipfs.dlux.io",
    "https://xn--mnchen-3ya.ipfs.dlux.io",
    "http://localhost",
    "http://localhost:5173",
    "http://localhost:1",
    "http://[::1]:3000",
    "https://vr.example:8443",
]

LOOK_ALIKES = [
    ("another name that ends alike", "https://evil-dlux.io"),
    ("our name in front of another's", "https://dlux.io.evil.com"),
    ("our name in front, behind a star", "https://alice.ipfs.dlux.io.evil.com"),
    ("a name that ends like the pattern", "https://evilipfs.dlux.io"),
    ("another subdomain", "https://evil.dlux.io"),
    ("the pattern's own name", "https://ipfs.dlux.io"),
    ("two labels", "https://a.b.ipfs.dlux.io"),
    ("an empty label", "https://.ipfs.dlux.io"),
    ("a label beside an empty one", "https://a..ipfs.dlux.io"),
    ("the star itself", "https://*.ipfs.dlux.io"),
    ("a label that begins with a hyphen", "https://-a.ipfs.dlux.io"),
    ("a label that ends with one", "https://a-.ipfs.dlux.io"),
    ("a label longer than a name may have", f"https://{'a' * 64}.ipfs.dlux.io"),
    ("another character for the dot", "https://alice.ipfsxdlux.io"),
    ("userinfo", "https://alice@ipfs.dlux.io"),
    ("our name as userinfo", "https://dlux.io@evil.com"),
    ("our name as a password", "https://x:dlux.io@evil.com"),
    ("userinfo in a label", "https://a@b.ipfs.dlux.io"),
    ("a port", "https://dlux.io:8443"),
    ("the scheme's own port", "https://dlux.io:443"),
    ("a port behind a star", "https://alice.ipfs.dlux.io:444"),
    ("another port", "https://vr.example:8444"),
    ("no port where there is one", "https://vr.example"),
    ("an empty port", "https://dlux.io:"),
    ("a port that is none", "http://localhost:5173x"),
    ("a port of zeros", "http://localhost:0"),
    ("a name as a port", "http://localhost:5173.evil.com"),
    ("userinfo as a port", "http://localhost:5173@evil.com"),
    ("our host in front of another's", "http://localhost.evil.com"),
    ("a label in front of it", "http://a.localhost:5173"),
    ("the other scheme", "http://dlux.io"),
    ("the other scheme behind a star", "http://alice.ipfs.dlux.io"),
    ("the other scheme of the desk", "https://localhost:5173"),
    ("another scheme", "wss://dlux.io"),
    ("a capital in the host", "https://Dlux.io"),
    ("a capital in the label", "https://Alice.ipfs.dlux.io"),
    ("a capital in the scheme", "HTTPS://dlux.io"),
    ("a trailing dot", "https://dlux.io."),
    ("a trailing dot behind a star", "https://alice.ipfs.dlux.io."),
    ("a path", "https://dlux.io/"),
    ("a query", "https://dlux.io?x=https://dlux.io"),
    ("a fragment", "https://evil.com#https://dlux.io"),
    ("a page without an origin", "null"),
    ("nothing", ""),
    ("a star", "*"),
    ("two at once", "https://dlux.io https://evil.com"),
    ("two in a list", "https://dlux.io,https://evil.com"),
    ("a space behind it", "https://dlux.io "),
    ("a line behind it", "https://dlux.io\n"),
    ("a line in a label", "https://a\nb.ipfs.dlux.io"),
    ("a backslash", "https://evil.com\\.ipfs.dlux.io"),
    ("a slash in the label", "https://evil.com/.ipfs.dlux.io"),
    ("an escape", "https://evil.com%2f.ipfs.dlux.io"),
    ("a letter of another script", "https://dlux.i\u043e"),
    ("a label outside ASCII", "https://m\u00fcnchen.ipfs.dlux.io"),
    ("a digit of another script", "http://localhost:517\u0663"),
    ("an ideographic dot", "https://alice\u3002ipfs.dlux.io"),
    ("a long s, which is no s", "https://alice.ipf\u017f.dlux.io"),
]


@pytest.mark.parametrize("origin", OURS)
def test_a_page_of_ours_may_call(origin: str) -> None:
    assert origin in ALLOWED
    assert ALLOWED.cors(origin)["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize("origin", [case[1] for case in LOOK_ALIKES], ids=[case[0] for case in LOOK_ALIKES])
def test_a_look_alike_may_not(origin: str) -> None:
    assert origin not in ALLOWED
    assert ALLOWED.cors(origin) == {}


def test_a_request_without_an_origin_is_no_pages() -> None:
    assert None not in ALLOWED
    assert ALLOWED.cors(None) == {}


@pytest.mark.parametrize(
    "pattern",
    [
        *("*", "https://*", "https://*.io", "https://*.localhost", "https://*.*.dlux.io", "https://a*.dlux.io"),
        *("https://ipfs.*.io", "*.ipfs.dlux.io", "dlux.io", "//dlux.io", "ftp://dlux.io", "*://dlux.io", "null"),
        *("https://dlux.io/", "https://dlux.io/*", "https://dlux.io.", "https://Dlux.io", "https://d\u00fclux.io"),
        *("https://a@dlux.io", "https://dlux.io:", "https://dlux.io:443", "http://dlux.io:80", "http://localhost:5*"),
        *("https://.ipfs.dlux.io", "https://dlux.io https://x.io", "https://dlux.io|https://x.io", ".*", "https://"),
    ],
)
def test_what_is_no_pattern_is_an_error_that_names_it(pattern: str) -> None:
    settings = defaults(EdgeSettings, allowed_origins=("https://dlux.io", pattern))
    with pytest.raises(SettingsError) as raised:
        allowed_origins(settings)
    assert "PRESENCE_ALLOWED_ORIGINS" in str(raised.value)
    assert repr(pattern) in str(raised.value)


def test_the_public_urls_own_origin_is_always_allowed() -> None:
    settings = defaults(EdgeSettings, public_url="https://VR.example:443/x", allowed_origins=("",))
    allowed = allowed_origins(settings)
    assert "https://vr.example" in allowed
    assert "https://dlux.io" not in allowed, "an empty setting has none besides"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://vr.example/x?y#z", "https://vr.example"),
        ("https://vr.example:443", "https://vr.example"),
        ("http://vr.example:80/", "http://vr.example"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("https://192.168.1.7:8443", "https://192.168.1.7:8443"),
    ],
)
def test_the_origin_of_a_url_is_as_a_browser_names_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_by_default_dlux_and_its_posts_own_pages_may_call() -> None:
    allowed = allowed_origins(defaults(EdgeSettings))
    for origin in ("https://dlux.io", "https://www.dlux.io", "https://vue.dlux.io", "https://alice.ipfs.dlux.io"):
        assert origin in allowed
    assert "http://localhost:5173" not in allowed, "of the local stack only"
