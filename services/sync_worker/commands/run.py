"""`run`: a cycle now."""

import asyncio
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence

from rich.progress import Progress, TaskID

from libs.common.bars import bars
from libs.common.contracts.content import TABLES
from libs.common.db.engine import Database
from services.sync_worker.app import Parts, opened
from services.sync_worker.command import DONE, FAILED, Command
from services.sync_worker.commands.status import show
from services.sync_worker.replication import repository
from services.sync_worker.replication.cycle import Outcome, Trigger
from services.sync_worker.replication.intervals import Intervals
from services.sync_worker.settings import Settings

LOOK_SECONDS = 0.3  # between two looks at how far the passes are


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("tables", nargs="*", metavar="TABLE", type=_table, help=f"one of {', '.join(TABLES)}; else all")


def _table(name: str) -> str:
    if name not in TABLES:
        raise ArgumentTypeError(f"{name!r} is none of {', '.join(TABLES)}")
    return name


async def _run(settings: Settings, arguments: Namespace) -> int:
    async with opened(settings) as parts:
        return await run_cycle(parts, arguments.tables or TABLES, Intervals.of_settings(settings))


async def run_cycle(parts: Parts, tables: Sequence[str], intervals: Intervals, *, prove: bool = False) -> int:
    """Runs a cycle that begins now, prints the status after it, and returns the exit status.

    While the worker's cycle is under way, its progress is shown until ours can begin.
    """
    cycle = asyncio.create_task(parts.cycle.run(Trigger.DEMAND, tables, prove=prove))
    with bars() as progress:
        tasks = {table: progress.add_task(table, total=None) for table in tables}
        while not cycle.done():
            await _follow(parts.database, progress, tasks)
            await asyncio.wait([cycle], timeout=LOOK_SECONDS)
    await show(parts.database, intervals)
    return DONE if cycle.result() is Outcome.DONE else FAILED


async def _follow(database: Database, progress: Progress, tasks: dict[str, TaskID]) -> None:
    async with database.read() as connection:
        states = await repository.states(connection)
    for table, task in tasks.items():
        state = states.get(table)
        if state:
            read = (state["watermark"] or {}).get("read", 0)
            progress.update(task, completed=read, total=max(read, state["row_count"]))


RUN = Command("run", "Brings the replica up to date now, and says how it is then.", _run, _add_arguments)
