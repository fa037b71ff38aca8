"""Results as files: one JSON a scenario, one README with all that were measured so far, one plot."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from bench.lab import Figure, Outcome
from bench.plot import bars

PLOTTED = ("fanout", "load")
EXPLANATION = """\
Written by `make bench`. The server is the real one (six services, realtime twice, PostgreSQL, RabbitMQ, Redis, Caddy
beside them; tokens checked, contracts validated, presence kept; rate limits off, since all clients share one address).
One core for the server that is measured and the rest of the machine for the generator and everything else, where a
row does not say "replicas", "chat" or "join": there the whole system shares the machine with the generator. Peers run
in the same session, in turn with ours, with the same messages and clients. Each value is the median of the runs
in the scenario's JSON file. Only ratios of one session mean something on a shared machine.
"""


def save(folder: Path, name: str, outcome: Outcome, machine: dict[str, str]) -> None:
    """Write one scenario's file, and the README and the plot anew from all files that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = [{**asdict(figure), "ratio": figure.ratio} for figure in outcome.figures]
    content = {"machine": machine, "figures": figures, "medians": outcome.medians, "runs": outcome.runs}
    text = msgspec.json.format(msgspec.json.encode(content), indent=1)
    (folder / f"{name}.json").write_bytes(text + b"\n")


def summarise(folder: Path, names: list[str]) -> None:
    """README.md and fanout.svg, from what is in the folder."""
    files = {name: folder / f"{name}.json" for name in names}
    found = {name: msgspec.json.decode(file.read_bytes()) for name, file in files.items() if file.exists()}
    (folder / "README.md").write_text(_page(found))
    shown: dict[str, dict[str, float]] = {name: _rates(found[name]) for name in PLOTTED if name in found}
    if shown:
        (folder / "fanout.svg").write_text(bars("Deliveries per second, one core for the server", shown))


def _page(found: dict[str, Any]) -> str:
    parts = ["# Results\n", EXPLANATION]
    if found:
        parts += ["![Deliveries per second](fanout.svg)\n", _table(found), _machines(found)]
    return "\n".join(parts)


def _table(found: dict[str, Any]) -> str:
    lines = ["| figure | ours | peer | ratio | goal | met |", "|---|---|---|---|---|---|"]
    for content in found.values():
        lines += [_row(row) for row in content["figures"]]
    return "\n".join([*lines, ""])


def _row(row: dict[str, Any]) -> str:
    theirs = f"{number(row['theirs'])} ({row['peer']})" if row["theirs"] is not None else "-"
    ratio = f"{row['ratio']:.2f}" if row["ratio"] is not None else "-"
    met = {True: "yes", False: "**no**", None: ""}[row["met"]]
    name = f"{row['name']}; {row['note']}" if row["note"] else row["name"]
    return f"| {name} | {number(row['ours'])} {row['unit']} | {theirs} | {ratio} | {row['goal']} | {met} |"


def number(value: float | None) -> str:
    """Three digits that mean something; thousands apart. A figure that could not be had is a dash."""
    if value is None or value != value:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _machines(found: dict[str, Any]) -> str:
    lines = ["## Where and when", ""]
    for name, content in found.items():
        lines.append(f"- **{name}**: " + "; ".join(f"{key} {value}" for key, value in content["machine"].items()))
    return "\n".join([*lines, ""])


def _rates(content: dict[str, Any]) -> dict[str, float]:
    return {server: figures["delivered_per_s"] for server, figures in content["medians"].items()}


def shown(figure: Figure) -> str:
    """A figure in one line of a terminal."""
    theirs = f", {figure.peer} {number(figure.theirs)}" if figure.theirs is not None else ""
    ratio = f", {figure.ratio:.2f} x" if figure.ratio is not None else ""
    verdict = {True: " met", False: " MISSED", None: ""}[figure.met]
    goal = f" [{figure.goal}{verdict}]" if figure.goal else ""
    return f"  {figure.name}: {number(figure.ours)} {figure.unit}{theirs}{ratio}{goal}"
