"""A process that kills itself in the middle of its work, before a step that is counted or named.

    python -m tests.support.killed file 3 FOLDER MODULE ARGUMENT...         before it touches a third file of FOLDER
    python -m tests.support.killed statement "ALTER DATABASE" MODULE ...    before it sends such a statement

It ends as the module does where the step never comes.
"""

import itertools
import os
import runpy
import signal
import sys
from typing import Any

import asyncpg

TOUCHES = {"os.rename", "os.remove", "open"}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before_file(number: int, folder: str) -> None:
    """Dies before the `number`th time that a file of the folder is opened to write, renamed or removed."""
    touches = itertools.count(1)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        is_counted = event in TOUCHES and str(arguments[0]).startswith(folder) and not is_reading(event, arguments)
        if is_counted and next(touches) == number:
            die()

    sys.addaudithook(watch)


def is_reading(event: str, arguments: tuple[Any, ...]) -> bool:
    """What only looks at a manifest changes nothing, whatever happens to it."""
    return event == "open" and arguments[1] == "r" and str(arguments[0]).endswith(".json")


def before_statement(beginning: str) -> None:
    execute = asyncpg.Connection.execute

    async def watched(connection: Any, query: str, *arguments: Any, **options: Any) -> Any:
        if query.lstrip().startswith(beginning):
            die()
        return await execute(connection, query, *arguments, **options)

    setattr(asyncpg.Connection, "execute", watched)  # noqa: B010  its type is not that of a function


def main() -> None:
    match sys.argv[1:]:
        case ["file", number, folder, module, *arguments]:
            before_file(int(number), folder)
        case ["statement", beginning, module, *arguments]:
            before_statement(beginning)
        case _:
            raise SystemExit(__doc__)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
