"""Every setting is declared once, is in .env.example as it is declared, and reaches the containers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from deploy.logins.passwords import WITH_LOGIN, variable
from libs.common.settings import REQUIRED, SecretSettings, SettingsError, read
from services.sync_worker.settings import Settings as SyncSettings

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = REPOSITORY / "deploy" / "compose"
DECLARES = re.compile(r"=\s*setting\(")
# Variables of compose.yml and of the Caddyfile; no process of ours reads them.
COMPOSE_ONLY = {
    *("PRESENCE_DOMAIN", "PRESENCE_SITE", "DB_REPLICA_PASSWORD", "REDIS_PASSWORD", "TURN_OPTIONS"),
    *("HTTP_PORT", "HTTPS_PORT", "COMPOSE_PROFILES", "PRESENCE_DEMO_PRIMARY_SHAPE", *map(variable, WITH_LOGIN)),
}
FILLED_IN = {  # shown with an example or empty, not with the default
    *("PRESENCE_DOMAIN", "DB_PRIMARY_HOST", "DB_PRIMARY_USER", "DB_PRIMARY_PASSWORD", "DB_REPLICA_PASSWORD"),
    *("REDIS_PASSWORD", "TURN_SECRET", "PRESENCE_SECRET_KEY", "PRESENCE_PROXY_SECRET", *map(variable, WITH_LOGIN)),
}
SECRET = re.compile(r"_(SECRET|KEY|PASSWORD|TOKEN)$")


@dataclass(frozen=True)
class Declared:
    name: str
    default: Any
    doc: str


@dataclass(frozen=True)
class Line:
    """A variable in .env.example: its value, whether it is commented out, and the comment above it."""

    value: str
    commented: bool
    comment: tuple[str, ...]


def declaring_classes() -> Iterator[type]:
    for folder in ("libs", "services"):
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            if DECLARES.search(file.read_text()):
                module = import_module(".".join(file.relative_to(REPOSITORY).with_suffix("").parts))
                yield from (thing for thing in vars(module).values() if isinstance(thing, type) and is_dataclass(thing))


def all_declared() -> set[Declared]:
    found = [field.metadata for cls in declaring_classes() for field in fields(cls) if "name" in field.metadata]
    return {Declared(one["name"], as_text(one["default"]), one["doc"]) for one in found}


def as_text(default: Any) -> Any:
    """A default as one writes it in .env; paths are relative to the repository."""
    if default is REQUIRED:
        return default
    if isinstance(default, bool):
        return str(default).lower()
    text = ",".join(default) if isinstance(default, list) else str(default)
    return text.removeprefix(f"{REPOSITORY}/")


def example() -> dict[str, Line]:
    lines: dict[str, Line] = {}
    comment: list[str] = []
    for text in (REPOSITORY / ".env.example").read_text().splitlines():
        if found := re.fullmatch(r"(#?)([A-Z][A-Z0-9_]*)=(.*)", text):
            assert found[2] not in lines, f"{found[2]} is there twice"
            lines[found[2]] = Line(found[3], found[1] == "#", tuple(comment))
            comment = []
        else:
            comment = [*comment, text.removeprefix("# ")] if text else []
    return lines


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any of our settings."""
    for one in all_declared():
        monkeypatch.delenv(one.name, raising=False)
    return monkeypatch


def test_a_name_is_declared_with_one_default_and_one_purpose() -> None:
    names = [one.name for one in all_declared()]
    assert sorted(names) == sorted(set(names))


def test_the_example_holds_every_setting_and_nothing_else() -> None:
    assert set(example()) == {one.name for one in all_declared()} | COMPOSE_ONLY


def test_the_example_shows_the_declared_default_and_purpose() -> None:
    lines = example()
    for declared in all_declared():
        line = lines[declared.name]
        assert declared.doc in line.comment, declared.name
        assert declared.name in FILLED_IN or (line.value, line.commented) == (declared.default, True), declared.name


def test_a_setting_that_must_be_filled_in_is_not_commented_out_and_every_other_is() -> None:
    assert {name for name, line in example().items() if not line.commented} == FILLED_IN
    assert {one.name for one in all_declared() if one.default is REQUIRED} <= FILLED_IN


def test_the_example_with_all_defaults_uncommented_changes_nothing(bare: pytest.MonkeyPatch) -> None:
    key = "PRESENCE_SECRET_KEY"
    for cls in (cls for cls in declaring_classes() if any("name" in field.metadata for field in fields(cls))):
        bare.setenv(key, "A" * 43 + "=")
        by_default: object = read(cls)
        with bare.context() as uncommented:
            for name, line in example().items():
                if line.commented and name not in COMPOSE_ONLY | {"PRESENCE_NODE_MODULES"}:
                    uncommented.setenv(name, line.value)
            assert read(cls) == by_default


def test_compose_passes_on_every_setting() -> None:
    text = (COMPOSE / "compose.yml").read_text()
    passed_on = set(re.findall(r"\b([A-Z][A-Z0-9_]*):(?=\s)", text))
    assert {one.name for one in all_declared()} <= passed_on


def test_compose_and_the_demo_use_no_variable_that_the_example_does_not_explain() -> None:
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", (COMPOSE / "compose.yml").read_text()))
    used |= set(re.findall(r"^([A-Z0-9_]+)=", (COMPOSE / "demo.env").read_text(), re.MULTILINE))
    assert used <= set(example())


def test_no_secret_has_a_default() -> None:
    secrets = [one for one in all_declared() if SECRET.search(one.name)]
    assert {one.name for one in secrets} >= {"PRESENCE_SECRET_KEY", "TURN_SECRET", "PRESENCE_OPERATOR_TOKEN"}
    assert all(one.default is REQUIRED or one.default == "" for one in secrets)
    assert all(line.value == "" for name, line in example().items() if SECRET.search(name))


def test_every_bad_and_missing_variable_is_named_at_once(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("PRESENCE_OPS_PORT", "ninety")
    bare.setenv("PRESENCE_DRAIN_SECONDS", "a while")
    with pytest.raises(SettingsError) as caught:
        read(SecretSettings)
    for name in ("PRESENCE_OPS_PORT", "PRESENCE_DRAIN_SECONDS", "PRESENCE_SECRET_KEY"):
        assert name in str(caught.value)


@pytest.mark.parametrize("key", ["", "short", "not base64!", "A" * 44 + "===="])
def test_a_secret_key_of_another_size_is_refused_with_the_way_to_make_one(bare: pytest.MonkeyPatch, key: str) -> None:
    bare.setenv("PRESENCE_SECRET_KEY", key)
    with pytest.raises(SettingsError, match="openssl rand -base64 32"):
        read(SecretSettings)


def test_the_primary_is_named_by_its_parts_or_by_one_url(bare: pytest.MonkeyPatch) -> None:
    assert read(SyncSettings).primary_dsn == ""
    bare.setenv("DB_PRIMARY_HOST", "data.dlux.io")
    bare.setenv("DB_PRIMARY_PASSWORD", "p@ss/word")
    assert read(SyncSettings).primary_dsn == "postgresql://presence_readwrite:p%40ss%2Fword@data.dlux.io:5432/dlux"
    bare.setenv("PRESENCE_PRIMARY_URL", "postgresql://me@here/there")
    assert read(SyncSettings).primary_dsn == "postgresql://me@here/there"


def test_only_settings_are_read_from_the_environment() -> None:
    readers = re.compile(r"os\.environ|os\.getenv|\bgetenv\(|from os import .*environ")
    files = [file for folder in ("libs", "services") for file in sorted((REPOSITORY / folder).rglob("*.py"))]
    assert [str(file) for file in files if readers.search(file.read_text())] == []
