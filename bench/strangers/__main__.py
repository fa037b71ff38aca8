"""`python -m bench.strangers [--before TREE] [ATTACK...]`: what each attack costs, before and after.

Attacks the stack of this tree and, with `--before`, that of another checkout (a git worktree of an older commit), each
in a process that imports from it. Writes `results/strangers.json` and the table `results/strangers.md`; a tree or an
attack that is not named keeps the figures that are there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench import machine
from bench.strangers.attacks import ATTACKS

HERE = Path(__file__).resolve().parents[2]
RESULTS = HERE / "bench" / "results"
GOAL_MS, GOAL_MB, GOAL_SECONDS = 50.0, 5.0, 10.0
EXPLANATION = f"""\
# What strangers cost

Written by `python -m bench.strangers`. Each attack is the cheapest client that does it, from one address, against a
stack of its own with the limits that strangers meet; all of it shares the machine, the attacker with a nice value of
10. CPU seconds are those of gateway,
replicas, spaces_auth, chat, PostgreSQL and Redis, with what the bystander causes; MB is the growth of our Python
processes. The bystander asks all the time for an answer of its own: the clock on a socket (1, 3 to 6, 8, 9), a join
(2), a message (16).
Goals: p99 under {GOAL_MS:g} ms, less than {GOAL_MB:g} MB, told, and ended within {GOAL_SECONDS:g} s where it goes on.
"""


def measure(tree: Path, name: str) -> dict[str, Any] | None:
    """Returns the price of an attack on a tree's stack; None where the system under attack gave up."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "price.json"
        environment = {**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{HERE / 'bench'}"}
        command = [sys.executable, "-m", "strangers.measure", str(out), name]
        subprocess.run(command, cwd=tree, env=environment, check=False)
        return dict(json.loads(out.read_text())) if out.exists() else None


def row(name: str, when: str, price: dict[str, Any]) -> str:
    times = price["bystander"]
    p99 = quantiles(times, n=100, method="inclusive")[98] if len(times) > 1 else float("nan")
    told = {None: "", True: "yes", False: "no"}[price["told"]]
    ended = f"{price['ended_after']:.1f}" if price["ended_after"] is not None else ""
    waited = (
        f"{median(times):.1f} | {p99:.1f} | {price['unanswered'] or ''}" if times else f" | | {price['unanswered']}"
    )
    cost = f"{price['server_cpu']:.2f} | {price['server_mb']:.1f}"
    what = f"{ATTACKS[name][0]} {name}: {price['attacker']}"
    return f"| {what} | {when} | {cost} | {waited} | {told} | {ended} | {price['also']} |"


def table(figures: dict[str, Any]) -> str:
    lines = [EXPLANATION, ", ".join(f"{name} {value}" for name, value in figures["machine"].items()), ""]
    lines += ["| attack | | CPU s | MB | p50 ms | p99 ms | unanswered | told | ended after s | |", "|" + "---|" * 10]
    for name in ATTACKS:
        for when in ("before", "after"):
            if price := figures.get(when, {}).get(name):
                lines.append(row(name, when, price))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.strangers", description="What each attack costs.")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"of: {' '.join(ATTACKS)}; default all")
    parser.add_argument("--before", type=Path, help="a checkout of an older commit, attacked as well")
    chosen = parser.parse_args()
    names = chosen.attacks or list(ATTACKS)
    if unknown := set(names) - ATTACKS.keys():
        parser.error(f"no attack {', '.join(sorted(unknown))}")
    machine.raise_file_limit()
    stored = RESULTS / "strangers.json"
    figures: dict[str, Any] = json.loads(stored.read_text()) if stored.exists() else {}
    figures["machine"] = machine.description()
    trees = {"before": chosen.before, "after": HERE} if chosen.before else {"after": HERE}
    for when, tree in trees.items():
        for name in names:
            if price := measure(tree.resolve(), name):
                figures.setdefault(when, {})[name] = price
                print(row(name, when, price), flush=True)
    stored.write_text(json.dumps(figures, indent=1) + "\n")
    (RESULTS / "strangers.md").write_text(table(figures))


if __name__ == "__main__":
    main()
