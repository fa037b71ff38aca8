"""The commands of `python -m services.sync_worker`. Each works while the worker runs."""

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from libs.common import log
from libs.common.errors import PresenceError
from libs.common.settings import SettingsError, read
from services.sync_worker.command import FAILED, Command
from services.sync_worker.commands.backup import BACKUP
from services.sync_worker.commands.confirm import CONFIRM
from services.sync_worker.commands.drill import DRILL
from services.sync_worker.commands.proof import PROOF
from services.sync_worker.commands.restore import RESTORE
from services.sync_worker.commands.run import RUN
from services.sync_worker.commands.status import STATUS
from services.sync_worker.commands.titles import TITLES
from services.sync_worker.settings import Settings

COMMANDS: tuple[Command, ...] = (RUN, PROOF, STATUS, CONFIRM, TITLES, BACKUP, RESTORE, DRILL)


def execute(arguments: Sequence[str]) -> int:
    """Carries out one command line and returns the exit status; ends the process for one that cannot be understood."""
    parser = ArgumentParser("python -m services.sync_worker", description="Without a command: the worker itself.")
    choices = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        described = choices.add_parser(command.name, help=command.summary, description=command.summary)
        command.add_arguments(described)
        described.set_defaults(command=command)
    chosen = parser.parse_args(arguments)
    try:
        settings = read(Settings)
        log.configure("sync_worker", "error")  # a command speaks for itself
        return _outcome(chosen.command, settings, chosen)
    except (SettingsError, PresenceError) as error:
        parser.exit(FAILED, f"{error}\n")


def _outcome(command: Command, settings: Settings, chosen: Namespace) -> int:
    async def run() -> int:
        return await command.run(settings, chosen)

    return asyncio.run(run())
