"""The folder of backups. A backup is there once its manifest is; both have reached the disk by then.

`presence-20261127T120000Z.dump` is the database, `presence-20261127T120000Z.json` its manifest. What is being written
has a name that begins with a dot, so whatever kills the writer leaves nothing that looks like a backup.
"""

import asyncio
import fcntl
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from services.sync_worker.backups.manifest import Manifest, Refused, encoded, manifest_path, read

_log = structlog.get_logger(__name__)
NAME = re.compile(r"presence-\d{8}T\d{6}Z\.dump")
LOCK = ".lock"
PRIVATE = 0o600
UNFINISHED = ".unfinished-"
LOCK_LOOK_SECONDS = 0.2


class Folder:
    """The backups of one database. It is made if it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Makes this process the only one that makes, tries or restores a backup; waits for another that does.

        The lock goes with the process that holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / LOCK).open("w") as file:
            while not _is_locked(file.fileno()):  # noqa: ASYNC110  no event tells of another process
                await asyncio.sleep(LOCK_LOOK_SECONDS)
            yield

    def place(self, name: str) -> Path:
        """Returns the path of a backup that was named by itself or with a path."""
        given = Path(name)
        return self.path / given if given.parent == Path() and not given.exists() else given

    def unfinished(self, name: str) -> Path:
        """Returns the path under which a file is written before it may be seen."""
        return self.path / f"{UNFINISHED}{name}"

    def publish(self, name: str) -> None:
        """Gives an unfinished file its name, once the disk has all of it; returns once the disk has the name too.

        Nobody but us reads it: everything that the database keeps is in there.
        """
        temporary = self.unfinished(name)
        temporary.chmod(PRIVATE)
        _sync(temporary)
        temporary.rename(self.path / name)
        _sync(self.path)

    def write(self, name: str, content: bytes) -> None:
        """Puts a file in place of the one of that name; a reader finds all of one of them."""
        self.unfinished(name).write_bytes(content)
        self.publish(name)

    def describe(self, manifest: Manifest) -> None:
        """Writes the manifest of a backup whose file is in place: from then on it counts."""
        self.write(manifest_path(Path(manifest.file)).name, encoded(manifest))

    def manifests(self) -> list[Manifest]:
        """Returns the manifests of the backups that are there, newest first."""
        found = []
        for path in sorted(self.path.glob("presence-*.dump"), reverse=True):
            try:
                manifest = read(path)
            except Refused:
                continue
            if path.stat().st_size == manifest.bytes:
                found.append(manifest)
        return sorted(found, key=lambda manifest: manifest.made_at, reverse=True)

    def newest(self) -> Manifest | None:
        return next(iter(self.manifests()), None)

    def remove_leftovers(self) -> None:
        """Removes what a killed run left: unfinished files, and dumps of ours that have no manifest."""
        left = list(self.path.glob(f"{UNFINISHED}*"))
        left += [
            path
            for path in self.path.glob("presence-*.dump")
            if NAME.fullmatch(path.name) and not manifest_path(path).exists()
        ]
        for path in left:
            _log.warning("removed what a killed run left", file=path.name)
            path.unlink(missing_ok=True)

    def retire(self, kept: int, months: int, moment: datetime) -> list[str]:
        """Removes old backups and returns their names; `kept` newest and the first of each of `months` months stay."""
        manifests = self.manifests()
        firsts = {f"{manifest.made_at:%Y-%m}": manifest.file for manifest in manifests}  # the oldest comes last
        recent = {_month(moment, back) for back in range(months)}
        stay = {manifest.file for manifest in manifests[: max(kept, 1)]}
        stay |= {file for month, file in firsts.items() if month in recent}
        old = [manifest.file for manifest in manifests if manifest.file not in stay]
        for file in old:
            manifest_path(self.path / file).unlink(missing_ok=True)  # first: without it the other is no backup
            (self.path / file).unlink(missing_ok=True)
        return old


def _month(moment: datetime, back: int) -> str:
    """Returns the name of the month that is `back` months before a moment's."""
    months = moment.astimezone(UTC).year * 12 + moment.astimezone(UTC).month - 1 - back
    return f"{months // 12:04}-{months % 12 + 1:02}"


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


type Progress = Callable[[str, int, int], None]
"""Called with a step, how much of it is done, and how much it has in all (0 where that is not known)."""


def silent(_step: str, _done: int, _total: int) -> None:
    """Shows nothing."""
