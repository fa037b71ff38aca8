"""The primary's address comes from one variable or from five."""

from dataclasses import fields
from typing import Any

import pytest

from libs.common.settings import SettingsError, read
from services.sync_worker.primary.connection import unverified_hosts
from services.sync_worker.settings import Settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in fields(Settings):
        monkeypatch.delenv(field.metadata["name"], raising=False)


def dsn(monkeypatch: pytest.MonkeyPatch, **variables: Any) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return read(Settings).primary_dsn


def test_nothing_said_is_no_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dsn(monkeypatch) == ""


def test_the_seeds_variables_make_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"DB_PRIMARY_HOST": "data.dlux.io", "DB_PRIMARY_USER": "me", "DB_PRIMARY_PASSWORD": "p@ss/w:rd%"}

    assert dsn(monkeypatch, **said) == "postgresql://me:p%40ss%2Fw%3Ard%25@data.dlux.io:5432/dlux"


def test_the_whole_address_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dsn(monkeypatch, DB_PRIMARY_HOST="x", PRESENCE_PRIMARY_URL="postgresql://a@b/c") == "postgresql://a@b/c"


def test_tls_is_part_of_the_address_where_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "DB_PRIMARY_HOST": "data.dlux.io",
        "DB_PRIMARY_SSLMODE": "verify-full",
        "DB_PRIMARY_SSLROOTCERT": "/a b.pem",
    }

    assert dsn(monkeypatch, **said).endswith("/dlux?sslmode=verify-full&sslrootcert=%2Fa+b.pem")


def test_an_unknown_mode_of_tls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="DB_PRIMARY_SSLMODE"):
        dsn(monkeypatch, DB_PRIMARY_SSLMODE="verify")


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("postgresql://me:a@b@data.dlux.io:5432/dlux", ["data.dlux.io"]),
        ("postgresql://me@data.dlux.io/dlux?sslmode=require", ["data.dlux.io"]),
        ("postgresql://me@127.0.0.1,10.0.0.7:5433/dlux", ["10.0.0.7"]),
        ("postgresql://me@[2001:db8::1]:5432/dlux", ["2001:db8::1"]),
        ("postgresql:///dlux?host=data.dlux.io", ["data.dlux.io"]),
        ("postgresql://me@data.dlux.io/dlux?sslmode=verify-full", []),
        ("postgresql://me@data.dlux.io/dlux?sslmode=verify-ca", []),
        ("postgresql://me@localhost/dlux", []),
        ("postgresql://me@[::1]:5432/dlux", []),
        ("postgresql:///dlux?host=/run/postgresql", []),
        ("", []),
    ],
)
def test_a_primary_elsewhere_is_unverified_unless_its_certificate_is_asked_for(address: str, hosts: list[str]) -> None:
    assert unverified_hosts(address) == hosts
