"""Writes a folder of static files for a web server: versioned names, and compressed copies beside them.

A file under `web/` gets its content's hash into its name (`web/page.js` → `web/page.1f3a9c04b7de.js`), so it may be
kept for ever; whoever refers to it says the new name. Pages keep their names, and must be asked for again each time.
"""

import gzip
import hashlib
import os
import re
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

import zstandard

VERSIONED = "web/"
KEPT_SECONDS = 7 * 86_400  # of what no page names any more: somebody may have an older page open
SMALLEST = 1024  # bytes of a file of which there are compressed copies
_REFERENCE = re.compile(rb"""(?<=["'])(/web/|\./)([\w.-]+)(?=["'])""")


class CircularReferenceError(Exception):
    """Files name each other in a circle, so that none of them can have its hash first."""


class Versions:
    """The files of a site under the names that they are served by. `sources` maps paths to contents."""

    def __init__(self, sources: Mapping[str, bytes]) -> None:
        self._sources = sources
        self._done: dict[str, tuple[str, bytes]] = {}

    @cached_property
    def files(self) -> dict[str, bytes]:
        """Contents by path. Raises CircularReferenceError."""
        return dict(self._version(path, ()) for path in self._sources)

    def _version(self, path: str, above: tuple[str, ...]) -> tuple[str, bytes]:
        if path in above:
            raise CircularReferenceError(" → ".join((*above, path)))
        if path not in self._done:
            content = self._with_new_names(path, above)
            self._done[path] = (_versioned(path, content) if path.startswith(VERSIONED) else path, content)
        return self._done[path]

    def _with_new_names(self, path: str, above: tuple[str, ...]) -> bytes:
        """Returns a file with the versioned names of those that it loads; a script's `./` is its own folder."""

        def new_name(found: re.Match[bytes]) -> bytes:
            named = f"{VERSIONED}{found[2].decode()}"
            if named not in self._sources:
                return found[0]
            return found[1] + PurePosixPath(self._version(named, (*above, path))[0]).name.encode()

        return _REFERENCE.sub(new_name, self._sources[path])


class Site:
    """A folder that a web server reads while it is written: no file is ever half there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, sources: Mapping[str, bytes]) -> None:
        """Writes the site: what pages load before the pages. Deletes what has been out of use for a week."""
        versions = Versions(sources).files
        wanted: dict[str, bytes] = {}
        for path in sorted(versions, key=lambda path: not path.startswith(VERSIONED)):
            wanted |= _with_copies(path, versions[path])
        for path, content in wanted.items():
            self._put(path, content)
        self._delete_old(set(wanted))

    def _put(self, path: str, content: bytes) -> None:
        """Leaves a file alone that is the same already: its ETag is made of its time."""
        file = self._folder / path
        if file.exists() and file.read_bytes() == content:
            if path.startswith(VERSIONED):
                os.utime(file)  # in use again; its name alone tells its version
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.new")
        unfinished.write_bytes(content)
        unfinished.chmod(0o644)
        unfinished.replace(file)

    def _delete_old(self, wanted: set[str]) -> None:
        for file in self._folder.rglob("*"):
            is_over = file.is_file() and time.time() - file.stat().st_mtime > KEPT_SECONDS
            if is_over and file.relative_to(self._folder).as_posix() not in wanted:
                file.unlink()


def _versioned(path: str, content: bytes) -> str:
    stem, dot, suffix = path.rpartition(".")
    return f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}{dot}{suffix}"


def _with_copies(path: str, content: bytes) -> dict[str, bytes]:
    """Returns a file and its compressed copies, as Caddy's `precompressed` looks for them. The same bytes each time."""
    copies = {
        f"{path}.zst": zstandard.ZstdCompressor(level=19).compress(content),
        f"{path}.gz": gzip.compress(content, 9, mtime=0),
    }
    smaller = {name: copy for name, copy in copies.items() if len(copy) < len(content)}
    return {**(smaller if len(content) >= SMALLEST else {}), path: content}
