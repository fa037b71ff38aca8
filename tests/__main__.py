"""Runs every test: `python -m tests [pytest's arguments]`.

What shares no stack runs first, a process a core, each with servers of its own. The tests of the whole stack have the
machine to themselves afterwards, since some of them are about who waits for whom.
"""

import os
import subprocess
import sys

import pytest

WHOLE_STACK = ("tests/e2e", "tests/faults", "tests/security")
BESIDE = ("tests/conformance", "tests/integration", "tests/unit")
MOST_PROCESSES = 4
SLOWEST = ("--durations=25", "--durations-min=8")  # where a shorter run would begin


def main(arguments: list[str]) -> int:
    """Returns pytest's exit status: that of what failed, if anything did. No test at all is a failure too.

    Arguments that begin with `tests/` name what is to run; without any, everything is.
    """
    named = [argument for argument in arguments if argument.startswith("tests/")]
    options = [argument for argument in arguments if argument not in named]
    whole = [name for name in named if name.startswith(WHOLE_STACK)]
    beside = [name for name in named if name not in whole]
    parallel = ("-n", "auto", "--maxprocesses", str(MOST_PROCESSES), "--dist", "loadfile")
    ended = []
    if beside or not named:
        ended.append(_run(WHOLE_STACK, *parallel, *options, *beside))
    if whole or not named:
        ended.append(_run(BESIDE, *options, *whole))
    ran = [status for status in ended if status != pytest.ExitCode.NO_TESTS_COLLECTED]
    return max(ran, default=int(pytest.ExitCode.NO_TESTS_COLLECTED))


def _run(left_out: tuple[str, ...], *arguments: str) -> int:
    ignored = (f"--ignore={folder}" for folder in left_out)
    same = {"PYTHONHASHSEED": "0"}  # sets have one order in all processes: names of tests are made of some
    command = [sys.executable, "-m", "pytest", *ignored, *SLOWEST, *arguments]
    return subprocess.run(command, env=os.environ | same).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
