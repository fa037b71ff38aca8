"""A command of `python -m services.sync_worker`, and how commands speak.

Results go to standard output, progress bars to standard error.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress, TaskID

from services.sync_worker.settings import Settings

DONE = 0
FAILED = 1


def _no_arguments(_: ArgumentParser) -> None:
    return None


@dataclass(frozen=True)
class Command:
    """One command. `run` does it and returns the exit status; a `PresenceError` that it raises is shown as its text."""

    name: str
    summary: str  # one line of the help
    run: Callable[[Settings, Namespace], Awaitable[int]]
    add_arguments: Callable[[ArgumentParser], None] = _no_arguments


def output() -> Console:
    """Returns the console for results: plain lines where standard output is no terminal."""
    return Console(soft_wrap=True, highlight=False)


def errors() -> Console:
    """Returns the console for what went wrong."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def steps(progress: Progress) -> Callable[[str, int, int], None]:
    """Returns a function that shows steps one after the other, each with how much of it is done and has in all."""
    shown: dict[str, TaskID] = {}

    def show(step: str, done: int, total: int) -> None:
        if step not in shown:
            for task in progress.tasks:  # those before are over
                progress.update(task.id, total=task.completed or 1, completed=task.completed or 1)
            shown[step] = progress.add_task(step, total=None)
        progress.update(shown[step], completed=done, total=total or None)

    return show
