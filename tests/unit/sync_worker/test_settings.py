"""The primary's address comes from one variable or from five."""

from dataclasses import fields
from typing import Any

import pytest

from libs.common.settings import read
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
