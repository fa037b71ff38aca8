"""Missing programs are installed where we may, and otherwise named in one sentence with both ways out."""

import contextlib
from pathlib import Path

import pytest

from deploy.local import packages
from deploy.local.errors import SetupError
from deploy.local.packages import Program, daemons_forbidden, ensure, find

MISSING = Program("no-such-server", "no-such-package")


def test_a_user_who_may_not_install_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SetupError) as caught:
        ensure([packages.POSTGRES, MISSING])
    text = str(caught.value)
    assert "no-such-server" in text
    assert "sudo apt-get install no-such-package" in text
    assert "docker compose up" in text
    assert "postgres" not in text  # that one is there


def test_a_machine_without_apt_is_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(SetupError, match="install no-such-package"):
        ensure([MISSING])


def test_all_that_is_missing_is_installed_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    other = Program("another-server", "another-package")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(packages, "install", lambda names, _say: asked.append(names))
    with pytest.raises(SetupError):  # still not there afterwards
        ensure([MISSING, other])
    assert asked == [["another-package", "no-such-package"]]


def test_the_highest_version_of_a_program_is_found(tmp_path: Path) -> None:
    for version in ("9", "15", "16"):
        program = tmp_path / version / "bin" / "postgres"
        program.parent.mkdir(parents=True)
        program.touch(mode=0o755)
    assert find(Program("postgres", "postgresql", (f"{tmp_path}/*/bin",))) == tmp_path / "16" / "bin" / "postgres"


def test_daemons_are_forbidden_while_apt_runs_and_the_machines_own_policy_comes_back(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("the machine's own")
    with contextlib.suppress(SetupError), daemons_forbidden(policy):
        assert "exit 101" in policy.read_text()
        assert policy.stat().st_mode & 0o111
        raise SetupError
    assert policy.read_text() == "the machine's own"
    assert list(tmp_path.iterdir()) == [policy]


def test_a_machine_without_a_policy_has_none_afterwards(tmp_path: Path) -> None:
    with daemons_forbidden(tmp_path / "policy-rc.d"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_policy_that_a_killed_run_left_aside_comes_back(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text(packages.FORBID_DAEMONS)
    (tmp_path / "policy-rc.d.presence-aside").write_text("the machine's own")
    with daemons_forbidden(policy):
        pass
    assert policy.read_text() == "the machine's own"
