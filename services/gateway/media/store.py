"""Files on disk, bounded in bytes and number; the one that was asked for longest ago goes first.

A file is written beside the others and then renamed, so what has a name is whole, whenever the process died. Its name
and its time of change follow from what it is, so the ETag and Last-Modified that aiohttp makes of that time stay the
same when it is fetched anew. Its time of access says when it was asked for.
"""

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from pathlib import Path

from libs.common.ids import new_id
from libs.common.settings import SettingsError
from services.gateway.media.types import TYPES

_UNFINISHED = ".part"


class Store:
    """One process has a folder to itself."""

    def __init__(self, folder: Path, most_bytes: int, most_files: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._sizes: OrderedDict[Path, int] = OrderedDict()  # the one that was asked for last is the last
        self._names: dict[str, Path] = {}  # without their endings
        self._bytes = 0

    def open(self) -> None:
        """Makes the folder, and finds what is in it. Raises `SettingsError` for a folder that is not ours alone."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._folder.stat().st_uid != os.getuid():
                raise SettingsError(f"PRESENCE_MEDIA_CACHE: {self._folder} belongs to somebody else.")
            found = []
            for file in self._folder.iterdir():
                if file.suffix == _UNFINISHED:
                    file.unlink(missing_ok=True)
                elif file.suffix in TYPES:
                    found.append((file.stat(), file))
        except OSError as error:
            raise SettingsError(f"PRESENCE_MEDIA_CACHE: {error}") from error
        for stat, file in sorted(found, key=lambda one: one[0].st_atime_ns):
            self._add(file, stat.st_size)
        self._make_room()

    def find(self, what: str) -> Path | None:
        """Returns the file of what is named `cid[/path]`; None if it is not here."""
        file = self._names.get(_name(what))
        if file is None:
            return None
        try:
            os.utime(file, ns=(time.time_ns(), _time_of(file)))
        except OSError:  # somebody cleaned up
            self._forget(file)
            return None
        self._sizes.move_to_end(file)
        return file

    def unfinished(self) -> Path:
        """Returns the name of a new file that is no part of the store yet."""
        return self._folder / f"{new_id()}{_UNFINISHED}"

    async def keep(self, what: str, written: Path, ending: str) -> Path:
        """Makes a file that is written part of the store, and returns its name there."""
        file = self._folder / f"{_name(what)}{ending}"
        size = await asyncio.to_thread(_settle, written, file)
        self._forget(file)
        self._add(file, size)
        self._make_room()
        return file

    def _add(self, file: Path, size: int) -> None:
        self._sizes[file] = size
        self._names[file.stem] = file
        self._bytes += size

    def _forget(self, file: Path) -> None:
        self._bytes -= self._sizes.pop(file, 0)
        self._names.pop(file.stem, None)

    def _make_room(self) -> None:
        while self._sizes and (self._bytes > self._most_bytes or len(self._sizes) > self._most_files):
            oldest = next(iter(self._sizes))
            self._forget(oldest)
            oldest.unlink(missing_ok=True)  # who reads it keeps it until the end


def _settle(written: Path, file: Path) -> int:
    with written.open("rb") as opened:
        os.fsync(opened.fileno())
    os.utime(written, ns=(time.time_ns(), _time_of(file)))
    written.replace(file)
    return file.stat().st_size


def _name(what: str) -> str:
    return hashlib.sha256(what.encode()).hexdigest()


def _time_of(file: Path) -> int:
    """Returns nanoseconds since 1970, within two months of it."""
    return int(file.stem[:13], 16)


def etag_of(file: Path) -> str:
    """Returns the strong ETag of a file, as aiohttp's `FileResponse` makes it."""
    stat = file.stat()
    return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
