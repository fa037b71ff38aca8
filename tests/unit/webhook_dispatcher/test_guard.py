import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from libs.common.errors import PresenceError
from libs.common.outbound.guard import AddressRefused, Resolver
from services.webhook_dispatcher.guard import WebhookGuard as Guard
from services.webhook_dispatcher.sender import ADDRESS_REFUSED, Sender
from tests.support.webhook_sink import WebhookSink

PEM = serialization.Encoding.PEM
PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1", "2001:db8::1", "3fff::1",
    "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1", "100::1", "4000::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


class Names(AbstractResolver):
    """A name server that says what it is told."""

    def __init__(self, **addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host not in self._addresses:
            raise OSError("Name or service not known")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses[host]
        ]

    async def close(self) -> None:
        pass


def guard(*allowed: str, require_https: bool = True, resolver: AbstractResolver | None = None) -> Guard:
    return Guard(allowed, require_https=require_https, resolver=resolver or Resolver(1))


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not guard(require_https=False).permits(address, "https")


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_permitted_by_https_only(address: str) -> None:
    assert guard().permits(address, "https")
    assert not guard().permits(address, "http")
    assert guard(require_https=False).permits(address, "http")


def test_networks_that_are_named_may_be_reached_by_either_scheme() -> None:
    local = guard("127.0.0.0/8", "::1/128")
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "::1"):
        assert local.permits(address, "http")
        assert local.permits(address, "https")
    assert not local.permits("10.0.0.1", "https")
    assert not local.permits("0.0.0.0", "http")


def test_the_socket_of_a_refused_address_is_never_made() -> None:
    make = guard().socket_factory("https")
    with pytest.raises(AddressRefused):
        make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 443)))
    with make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 443))) as made:
        assert made.family == socket.AF_INET


@pytest.fixture
async def sink() -> AsyncIterator[WebhookSink]:
    async with WebhookSink() as sink:
        yield sink


async def post(url: str, guard: Guard, resolver: AbstractResolver | None = None) -> str | None:
    """The error of one POST through a whole sender."""
    sender = Sender(guard, resolver or Resolver(2), 5.0)
    await sender.start()
    try:
        return (await sender.post(url, b"{}", {})).error
    finally:
        await sender.stop()


HOSTS = [
    "127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "10.0.0.1",
    "localhost", "2130706433", "0x7f.1", "127.1", "[::1]",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
async def test_no_way_of_writing_a_private_address_reaches_it(sink: WebhookSink, host: str) -> None:
    assert await post(f"http://{host}:{sink.port}/", guard(require_https=False))
    assert not sink.received


async def test_a_name_that_resolves_to_a_private_address_does_not_reach_it(sink: WebhookSink) -> None:
    names = Names(inside=["127.0.0.1"], both=["::1", "127.0.0.1"])
    for host in ("inside", "both"):
        assert await post(f"http://{host}:{sink.port}/", guard(require_https=False), names) == ADDRESS_REFUSED
    assert not sink.received


async def test_a_name_whose_first_address_is_refused_is_reached_at_its_second(sink: WebhookSink) -> None:
    names = Names(mixed=["10.0.0.1", "127.0.0.1"])
    assert await post(f"http://mixed:{sink.port}/", guard("127.0.0.0/8"), names) is None
    assert len(sink.received) == 1


async def test_a_proxy_of_the_environment_is_not_used(sink: WebhookSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{sink.port}")
    assert await post("http://10.0.0.1/", guard("127.0.0.0/8")) == ADDRESS_REFUSED
    assert not sink.received


def make_certificate(address: IPv4Address) -> tuple[bytes, bytes]:
    """A certificate that signs itself, and its key, both in PEM; valid for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    moment = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(moment - timedelta(minutes=5))
        .not_valid_after(moment + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(address)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(PEM), key.private_bytes(PEM, *plain)


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    certificate, key = make_certificate(IPv4Address("127.0.0.1"))
    file = tmp_path / "certificate.pem"
    file.write_bytes(certificate + key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(file)
    return tls


async def test_a_certificate_that_nobody_vouches_for_is_refused(self_signed: ssl.SSLContext) -> None:
    async with WebhookSink(tls=self_signed) as sink:
        error = await post(sink.url, guard("127.0.0.0/8"))
        assert error is not None
        assert error.startswith("TLS failed")
        assert not sink.received


NAMES = Names(public=["8.8.8.8"], inside=["10.0.0.1"], mixed=["10.0.0.1", "8.8.8.8"], local=["127.0.0.1"])


@pytest.mark.parametrize(
    "url", ["https://public/hook", "https://mixed/hook", "https://not-yet-known/hook", "http://local:8000/hook"]
)
async def test_a_url_that_may_be_sent_to_is_taken(url: str) -> None:
    await guard("127.0.0.0/8", resolver=NAMES).check(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://inside/hook", "no public address"),
        ("http://inside/hook", "no public address"),
        ("http://public/hook", "https"),
        ("http://not-yet-known/hook", "https"),
        ("https://user:pass@public/hook", "password"),
        ("https://:0x/", "Not a"),
        ("https://public:99999/", "Not a"),
        ("https://[::1/", "Not a"),
        ("https://xn--/", "Not a"),
        ("https://xn--a/", "Not a"),
        ("https://xn--0.pt/", "Not a"),
        ("https:///hook", "Not a"),
        ("ftp://public/hook", "Not an http"),
    ],
)
async def test_a_url_that_could_never_be_sent_to_is_refused_with_a_reason(url: str, why: str) -> None:
    with pytest.raises(PresenceError, match=why) as refused:
        await guard("127.0.0.0/8", resolver=NAMES).check(url)
    assert "webhook_url" in refused.value.details["fields"]
