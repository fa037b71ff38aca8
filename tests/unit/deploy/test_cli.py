"""The words of `python -m deploy.local` reach the command that they are meant for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import cli
from deploy.local.workplace import Workplace

FILES = ("chat", "gateway")


class ProgramReplaced(Exception):
    """`os.execv` was called with `arguments`: the real one does not return."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(arguments)
        self.arguments = arguments


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The log folder of a stack with two components; a command that would replace this process raises."""

    def replaced(_program: str, arguments: list[str]) -> None:
        raise ProgramReplaced(arguments)

    monkeypatch.setenv("PRESENCE_LOCAL_DIR", str(tmp_path))
    monkeypatch.setattr("os.execv", replaced)
    log = tmp_path / "log"
    log.mkdir()
    for name in FILES:
        (log / f"{name}.log").touch()
    yield log
    Workplace(tmp_path).remove()


def tail_of(*words: str) -> list[str]:
    """The arguments of `tail` that the command line ends in."""
    with pytest.raises(ProgramReplaced) as caught:
        cli.run(list(words))
    return caught.value.arguments


@pytest.mark.parametrize("words", [("--follow", "chat"), ("-f", "chat"), ("chat", "--follow")])
def test_logs_follows_the_one_component_that_is_named_on_either_side_of_the_option(
    log: Path, words: tuple[str, ...]
) -> None:
    assert tail_of("logs", *words) == ["tail", "-n100", "-F", str(log / "chat.log")]


def test_logs_without_a_name_follows_all(log: Path) -> None:
    assert tail_of("logs", "--follow") == ["tail", "-n20", "-F", *(str(log / f"{name}.log") for name in FILES)]


def test_logs_without_the_option_ends_at_the_end(log: Path) -> None:
    assert tail_of("logs", "chat") == ["tail", "-n100", str(log / "chat.log")]


@pytest.mark.parametrize("words", [("logs", "chat", "gateway"), ("up", "chat"), ("restart", "chat", "--now")])
def test_a_word_that_a_command_does_not_take_is_refused_and_not_swallowed(
    log: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit):
        cli.run(list(words))
    assert f"{words[0]} takes no {words[-1]}" in capsys.readouterr().err


def test_psql_gets_every_word_after_it(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(cli, "psql", lambda _place, words: calls.append(words))
    cli.run(["psql", "-h", "elsewhere", "-c", r"\dt", "--csv"])
    assert calls == [["-h", "elsewhere", "-c", r"\dt", "--csv"]]
