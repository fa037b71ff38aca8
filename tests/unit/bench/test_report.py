"""The bench makes medians, judgements, a table and a plot of its runs."""

import math
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from bench import report
from bench.lab import Figure, Outcome, medians
from bench.peers import NODE
from bench.plot import bars
from bench.scenarios import BRIEF, P99, SCENARIOS, Goal, absolute, compared

FASTER = Outcome(medians={"presence": {"delivered_per_s": 900.0, "p99_ms": 12.0}, NODE: {"delivered_per_s": 300.0}})


def test_a_median_is_taken_field_by_field() -> None:
    runs = [{"a": 1.0, "b": 9.0}, {"a": 5.0, "b": 7.0}, {"a": 2.0, "b": 8.0}]
    assert medians(runs) == {"a": 2.0, "b": 8.0}


def test_a_field_that_one_run_lacks_has_no_median() -> None:
    assert medians([{"a": 1.0, "p99_ms": 3.0}, {"a": 2.0}]) == {"a": 1.5}


@pytest.mark.parametrize(("least", "met"), [(2.9, True), (3.0, True), (3.1, False)])
def test_a_ratio_is_judged_against_its_goal(least: float, met: bool) -> None:
    figure = compared(FASTER, "fan-out", "delivered_per_s", "deliveries/s", NODE, Goal("", least=least))
    assert (figure.ratio, figure.met) == (3.0, met)


def test_without_its_peer_a_ratio_is_not_judged() -> None:
    figure = compared(Outcome(medians={"presence": {P99: 3.0}}), "late", P99, "ms", NODE, Goal("any", most=1))
    assert (figure.ratio, figure.met) == (None, None)


def test_a_figure_that_could_not_be_had_meets_no_goal() -> None:
    figure = absolute(Outcome(), "late", P99, "ms", Goal("p99 < 100 ms", most=100))
    assert math.isnan(figure.ours)
    assert figure.met is False


def test_a_server_that_others_disturbed_is_marked() -> None:
    disturbed = Outcome(medians={"presence": {P99: 3.0, "server_waited": 0.4, "generator_cpu": 1.0}})
    figure = absolute(disturbed, "late", P99, "ms", Goal(""))
    assert figure.note == "the generator was the limit; disturbed: the server waited 40% of the time for its core"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (math.nan, "-"), (0.0456, "0.0456"), (12.34, "12.3"), (1234567.8, "1,234,568")]
)
def test_numbers_are_shown_with_the_digits_that_mean_something(value: float | None, text: str) -> None:
    assert report.number(value) == text


def test_a_saved_outcome_is_in_the_table_and_the_plot(tmp_path: Path) -> None:
    outcome = Outcome(medians=FASTER.medians)
    outcome.figures = [compared(outcome, "fan-out", "delivered_per_s", "deliveries/s", NODE, Goal("twice", least=2))]
    report.save(tmp_path, "fanout", outcome, {"date": "today"})
    report.summarise(tmp_path, list(SCENARIOS))
    assert msgspec.json.decode((tmp_path / "fanout.json").read_bytes())["figures"][0]["ratio"] == 3.0
    row = "| fan-out | 900 deliveries/s | 300 (Node socket.io 4.8) | 3.00 | twice | yes |"
    assert row in (tmp_path / "README.md").read_text()
    drawing = ElementTree.parse(tmp_path / "fanout.svg")
    assert "900" in [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]


def test_the_plot_is_well_formed_whatever_the_names() -> None:
    ElementTree.fromstring(bars("a < b", {"x & y": {"<ours>": 2.0, "theirs": 0.0}}))


def test_a_figure_says_in_one_line_whether_its_goal_is_met() -> None:
    line = report.shown(Figure("late", 120.0, "ms", "p99 < 100 ms", False))
    assert line == "  late: 120 ms [p99 < 100 ms MISSED]"


def test_the_quick_run_measures_what_there_is() -> None:
    assert set(BRIEF) <= SCENARIOS.keys()
