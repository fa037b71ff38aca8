"""With `verify-full` only the primary that the certificate names is connected to, by a real handshake."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local.guardian import Guardian
from deploy.local.ports import free_port
from deploy.local.processes import Launch
from deploy.local.servers.postgres import Postgres
from deploy.local.workplace import Workplace, hand_over
from libs.common.settings import read
from services.sync_worker.primary.connection import PrimaryAway, Source
from services.sync_worker.settings import Settings

PEM = serialization.Encoding.PEM
LIFE = timedelta(hours=1)


class Authority:
    """A certificate authority of its own."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = _certificate(self._name, self._name, self._key, self._key, constraints)

    def issue(self, host: str) -> tuple[bytes, bytes]:
        """Returns a certificate of a host and its key, both in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return _certificate(name, self._name, key, self._key, names), key.private_bytes(PEM, *plain)


def _certificate(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signing: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> bytes:
    moment = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(moment - LIFE)
        .not_valid_after(moment + LIFE)
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    )
    return built.sign(signing, hashes.SHA256()).public_bytes(PEM)


class TlsPostgres(Postgres):
    """PostgreSQL that speaks TLS, with a certificate for `localhost`."""

    authority = Authority("ours")

    def prepare(self) -> None:
        super().prepare()
        certificate, key = self.authority.issue("localhost")
        (self.cluster / "server.crt").write_bytes(certificate)
        (self.cluster / "server.key").write_bytes(key)
        hand_over(self.cluster, self._user)
        (self.cluster / "server.key").chmod(0o600)

    def launch(self) -> Launch:
        self._options = {**self._options, "ssl": "on"}
        return super().launch()


@pytest.fixture(scope="module")
async def primary(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TlsPostgres]:
    folder = tmp_path_factory.mktemp("tls")
    for above in (folder, folder.parent, folder.parent.parent):  # PostgreSQL runs as another user
        above.chmod(0o755)
    server = TlsPostgres(Workplace(folder / "stack"), Guardian(), free_port(), durable=False)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def settings_for(
    primary: Postgres, monkeypatch: pytest.MonkeyPatch, host: str, authority: Authority, folder: Path
) -> Settings:
    """The worker's settings as an operator makes them."""
    file = folder / "authority.pem"
    file.write_bytes(authority.certificate)
    parts = urlsplit(primary.url)
    environment = {
        "PRESENCE_PRIMARY_URL": "",
        "PRESENCE_DATABASE_URL": primary.url,
        "DB_PRIMARY_HOST": host,
        "DB_PRIMARY_PORT": str(parts.port),
        "DB_PRIMARY_NAME": "postgres",
        "DB_PRIMARY_USER": str(parts.username),
        "DB_PRIMARY_PASSWORD": str(parts.password),
        "DB_PRIMARY_SSLMODE": "verify-full",
        "DB_PRIMARY_SSLROOTCERT": str(file),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return read(Settings)


async def test_a_primary_whose_certificate_our_authority_signed_is_read_over_tls(
    primary: TlsPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_for(primary, monkeypatch, "localhost", primary.authority, tmp_path)
    async with Source(settings.primary_dsn).connect() as connection:
        [row] = await connection.fetch("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert row["ssl"]
    assert row["version"] in ("TLSv1.2", "TLSv1.3")


REFUSED = "cannot connect to the primary: its certificate is refused: "


async def test_a_certificate_of_another_authority_is_refused_in_words(
    primary: TlsPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_for(primary, monkeypatch, "localhost", Authority("another"), tmp_path)
    with pytest.raises(PrimaryAway) as refused:
        async with Source(settings.primary_dsn).connect():
            pass
    assert str(refused.value) == f"{REFUSED}unable to get local issuer certificate (DB_PRIMARY_SSLROOTCERT)"


async def test_a_certificate_of_another_host_is_refused_in_words(
    primary: TlsPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_for(primary, monkeypatch, "127.0.0.1", primary.authority, tmp_path)
    with pytest.raises(PrimaryAway) as refused:
        async with Source(settings.primary_dsn).connect():
            pass
    assert str(refused.value).startswith(f"{REFUSED}IP address mismatch, certificate is not valid for '127.0.0.1'")


async def test_an_authority_that_is_not_there_is_named(
    primary: TlsPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_for(primary, monkeypatch, "localhost", primary.authority, tmp_path)
    (tmp_path / "authority.pem").unlink()
    with pytest.raises(PrimaryAway, match=r"authority\.pem"):
        async with Source(settings.primary_dsn).connect():
            pass
