"""pg_dump and pg_restore: found in the server's major version, run, and heard when they fail."""

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from services.sync_worker.backups.manifest import BackupError

USUAL = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin")  # of Debian and the official image; of Red Hat
VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
LAST_LINES = 5  # of what a program says when it fails


class Tools:
    """The programs in `folder`, else in Debian's folder of the version, else in PATH."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    async def find(self, name: str, server_version: int) -> str:
        """Returns the program's path. Raises BackupError where there is none of the server's major version.

        A newer one would do for a dump, but what it says when it restores is not what an older server understands.
        """
        major = server_version // 10_000
        folders = [self._folder] if self._folder else [*(usual.format(major) for usual in USUAL), *os.get_exec_path()]
        seen = set()
        for path in filter(None, (shutil.which(name, path=folder) for folder in folders)):
            found = VERSION.search(await _output(path, "--version"))
            if found and int(found[1]) == major:
                return path
            seen.add(found[1] if found else "unknown")
        there = f"version {', '.join(sorted(seen))}" if seen else "none"
        raise BackupError(
            f"The server is PostgreSQL {major} and of {name} there is {there}: install postgresql-client-{major}, or "
            "name its folder in PRESENCE_POSTGRES_TOOLS."
        )


async def run(
    command: Sequence[str], environment: Mapping[str, str], hear: Callable[[str], None] = lambda _: None
) -> None:
    """Runs a program to its end, and calls `hear` with each line that it says. Raises BackupError with its last words.

    A cancelled call ends the program.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**_environment(), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    said: list[str] = []
    try:
        while process.stderr and (raw := await process.stderr.readline()):
            line = raw.decode(errors="replace").rstrip()
            said = [*said[1 - LAST_LINES :], line]
            hear(line)
        status = await process.wait()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if status != 0:
        why = " / ".join(said) or "it said nothing"
        raise BackupError(f"{Path(command[0]).name} ended with {status}: {why}")


async def _output(path: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(path, *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode()


def _environment() -> dict[str, str]:
    """What a program needs of an environment. Nothing of ours: a variable could point it at another server."""
    return {"PATH": os.pathsep.join(os.get_exec_path()), "LC_ALL": "C.UTF-8"}
