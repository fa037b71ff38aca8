"""`titles`: fetches titles from Hive ahead of the worker, which takes some after each cycle."""

from argparse import ArgumentParser, Namespace

from libs.common.bars import bars
from services.sync_worker.app import opened
from services.sync_worker.command import DONE, Command, output
from services.sync_worker.settings import Settings
from services.sync_worker.titles import repository


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--most", type=int, default=10_000, metavar="N", help="posts to ask for (%(default)s)")


async def _run(settings: Settings, arguments: Namespace) -> int:
    async with opened(settings) as parts:
        async with parts.database.read() as connection:
            missing = min(arguments.most, await repository.count_without_title(connection))
        filled = 0
        with bars() as progress:
            task = progress.add_task("titles", total=missing)
            while filled < missing:
                batch = await parts.titles.fill(missing - filled)
                filled += batch
                progress.update(task, completed=filled)
                if not batch:
                    break  # the worker is at it, or Hive knows none of the rest
    output().print(f"{filled} of {missing} titles fetched.")
    return DONE


TITLES = Command("titles", "Fetches titles and texts of posts from Hive now, newest posts first.", _run, _add_arguments)
