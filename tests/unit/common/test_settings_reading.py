"""Settings from the environment."""

import base64
from dataclasses import dataclass

import pytest

from libs.common.settings import REQUIRED, SecretSettings, SettingsError, read, setting


@dataclass(frozen=True)
class Some:
    word: str = setting("TEST_WORD", REQUIRED, "A word.")
    number: int = setting("TEST_NUMBER", 5, "A number.")
    ratio: float = setting("TEST_RATIO", 0.5, "A ratio.")
    yes: bool = setting("TEST_YES", False, "Whether.")
    names: tuple[str, ...] = setting("TEST_NAMES", [], "Names.")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEST_WORD", "TEST_NUMBER", "TEST_RATIO", "TEST_YES", "TEST_NAMES", "PRESENCE_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_stand_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_WORD", "x")
    assert read(Some) == Some("x", 5, 0.5, False, ())


def test_the_environment_is_read_into_the_fields_types(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORD": "x", "NUMBER": "7", "RATIO": "1", "YES": "true", "NAMES": "alice, bob"}.items():
        monkeypatch.setenv(f"TEST_{name}", value)
    assert read(Some) == Some("x", 7, 1.0, True, ("alice", "bob"))


def test_an_empty_list_has_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_WORD", "x")
    monkeypatch.setenv("TEST_NAMES", "")
    assert read(Some).names == ()


def test_everything_that_is_wrong_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NUMBER": "many", "RATIO": "half", "YES": "perhaps"}.items():
        monkeypatch.setenv(f"TEST_{name}", value)
    with pytest.raises(SettingsError) as raised:
        read(Some)
    for name in ("TEST_WORD", "TEST_NUMBER", "TEST_RATIO", "TEST_YES"):
        assert name in str(raised.value)
    assert "TEST_NAMES" not in str(raised.value)


@pytest.mark.parametrize("key", ["", "secret", "a" * 44, base64.b64encode(bytes(31)).decode(), "é" * 44, "!" * 44])
def test_a_secret_key_is_32_bytes_in_base64(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("PRESENCE_SECRET_KEY", key)
    with pytest.raises(SettingsError, match="PRESENCE_SECRET_KEY"):
        read(SecretSettings)


def test_a_good_secret_key_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    key = base64.b64encode(bytes(32)).decode()
    monkeypatch.setenv("PRESENCE_SECRET_KEY", key)
    assert read(SecretSettings).secret_key == key
