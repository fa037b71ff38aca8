"""`confirm`: lets rows be deleted that vanished from the primary in suspicious number."""

from argparse import ArgumentParser, Namespace

from libs.common.contracts.content import TABLES
from services.sync_worker.app import opened
from services.sync_worker.command import Command
from services.sync_worker.commands.run import run_cycle
from services.sync_worker.replication import guard
from services.sync_worker.replication.intervals import Intervals
from services.sync_worker.settings import Settings


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table", metavar="TABLE", choices=TABLES)
    parser.add_argument("--deletes", type=int, required=True, metavar="N", help="how many rows may go, at most")


async def _run(settings: Settings, arguments: Namespace) -> int:
    async with opened(settings) as parts:
        await guard.confirm(parts.database, arguments.table, arguments.deletes)
        return await run_cycle(parts, [arguments.table], Intervals.of_settings(settings))


CONFIRM = Command(
    "confirm",
    "Lets closed rows of one table be deleted, as its trouble says; runs a cycle of it.",
    _run,
    _add_arguments,
)
