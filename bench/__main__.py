"""`python -m bench [--quick] [--runs N] [--seconds S] [--results FOLDER] [SCENARIO...]`"""

import argparse
import asyncio
import dataclasses
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from bench import machine, peers, report
from bench.generator import Generator, LoadError
from bench.lab import FULL, QUICK, Lab, Plan
from bench.scenarios import BRIEF, SCENARIOS
from bench.system import running_system
from deploy.local.errors import SetupError, StartError

RESULTS = Path(__file__).with_name("results")
MOST_PEOPLE = 2000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the real service beside its peers.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of: {' '.join(SCENARIOS)}; default all")
    parser.add_argument("--quick", action="store_true", help="small and short: proves that it runs, says nothing more")
    parser.add_argument("--runs", type=int, help="of each server, in turn; the median counts (default 3)")
    parser.add_argument("--seconds", type=float, help="of one run after its warm-up (default 5)")
    parser.add_argument("--chat-seconds", type=float, help="of one run of chat (default 60)")
    parser.add_argument("--results", type=Path, help=f"where to write (default {RESULTS}; --quick: nowhere)")
    chosen = parser.parse_args()
    unknown = set(chosen.scenarios) - SCENARIOS.keys()
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    return chosen


def plan_of(chosen: argparse.Namespace) -> Plan:
    plan = QUICK if chosen.quick else FULL
    given = {name: getattr(chosen, name) for name in ("runs", "seconds", "chat_seconds") if getattr(chosen, name)}
    return dataclasses.replace(plan, **given)


async def measure(names: list[str], plan: Plan, results: Path) -> None:
    """Run the scenarios one after the other; what was measured is on disk even if a later one fails."""
    where = machine.description()
    with tempfile.TemporaryDirectory(prefix="presence-loadgen-") as folder:
        generator = Generator(Path(folder))
        generator.compile()
        print("starting the system", flush=True)
        async with running_system() as system:
            await system.log_in(plan.people(MOST_PEOPLE))
            lab = Lab(system, generator, plan, lambda text: print(text, flush=True))
            for name in names:
                print(name, flush=True)
                lab.server_alone(True)
                outcome = await SCENARIOS[name](lab)
                report.save(results, name, outcome, where)
                print(*map(report.shown, outcome.figures), sep="\n", flush=True)
    report.summarise(results, list(SCENARIOS))


async def until_told_to_end(work: Coroutine[Any, Any, None]) -> None:
    """SIGTERM ends it as Ctrl-C does: nothing is left behind."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


def main() -> int:
    chosen = arguments()
    plan = plan_of(chosen)
    machine.raise_file_limit()
    names = chosen.scenarios or list(BRIEF if chosen.quick else SCENARIOS)
    try:
        peers.install()
        with tempfile.TemporaryDirectory(prefix="presence-bench-results-") as nowhere:
            results = chosen.results or (Path(nowhere) if chosen.quick else RESULTS)
            asyncio.run(until_told_to_end(measure(names, plan, results)))
    except (SetupError, StartError, LoadError) as error:
        print(error, file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
