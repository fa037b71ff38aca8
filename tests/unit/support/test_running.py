"""`python -m tests` runs what is named once, and the whole stack by itself."""

from typing import Any

import pytest

from tests import __main__ as running

WHOLE = "--ignore=tests/e2e"
BESIDE = "--ignore=tests/unit"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What pytest was called with; it ends with the status in front."""
    called: list[tuple[str, ...]] = []

    def run(left_out: tuple[str, ...], *arguments: str) -> int:
        called.append((*(f"--ignore={folder}" for folder in left_out), *arguments))
        return statuses.pop(0) if statuses else 0

    monkeypatch.setattr(running, "_run", run)
    return called


statuses: list[Any] = []


def test_everything_runs_in_two_parts_of_which_the_first_has_a_process_a_core(runs: list[tuple[str, ...]]) -> None:
    assert running.main(["-k", "chat"]) == 0
    first, second = runs
    assert WHOLE in first
    assert "--dist" in first
    assert BESIDE in second
    assert "--dist" not in second
    assert first[-2:] == second[-2:] == ("-k", "chat")


@pytest.mark.parametrize(
    ("named", "left_out"),
    [("tests/unit/chat", WHOLE), ("tests/e2e/test_chat.py::test_one", BESIDE), ("tests/integration", WHOLE)],
)
def test_what_is_named_runs_once(runs: list[tuple[str, ...]], named: str, left_out: str) -> None:
    running.main([named, "-x"])
    (only,) = runs
    assert left_out in only
    assert only[-1] == named


@pytest.mark.parametrize(("ended", "status"), [((0, 1), 1), ((1, 0), 1), ((5, 0), 0), ((0, 5), 0), ((5, 5), 5)])
def test_what_failed_is_what_it_ends_with_and_no_test_at_all_is_a_failure(
    runs: list[tuple[str, ...]], ended: tuple[int, int], status: int
) -> None:
    statuses[:] = ended
    assert running.main([]) == status
    assert len(runs) == 2
