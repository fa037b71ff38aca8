"""Archives: a month of chat as a file, written before its partition is dropped, and restored by hand.

`chat-2026-08.jsonl.zst` holds one JSON object a line, `{"table": ..., "row": ...}`, messages first, each table in the
order of its key; `chat-2026-08.json` beside it is the manifest: rows of each table, and the SHA-256 of the lines and of
the file. A row is the JSON text that PostgreSQL makes of it, so archiving it, restoring it and archiving it again gives
the same lines.

    python -m services.chat.retention.archive restore .local/archive/chat-2026-08.json
"""

import asyncio
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.engine import Database
from libs.common.settings import read
from services.chat.retention import months_repository as months
from services.chat.settings import Settings

LEVEL = 10  # of zstd: chat shrinks about as much as with 19, in a fraction of the time


class Damaged(Exception):
    """The file does not match its manifest."""


class Line(msgspec.Struct):
    """A line of an archive."""

    table: str
    row: msgspec.Raw


class Manifest(msgspec.Struct):
    """The manifest beside an archive, as JSON."""

    month: str
    file: str
    rows: dict[str, int]
    lines_sha256: str
    file_sha256: str


@dataclass
class _Writer:
    """Compresses lines into a file, and computes the SHA-256 of both."""

    path: Path

    def __post_init__(self) -> None:
        self._file = self.path.open("wb")
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
        self._lines = hashlib.sha256()
        self._bytes = hashlib.sha256()

    def write(self, lines: bytes) -> None:
        """Appends whole lines."""
        self._lines.update(lines)
        self._put(self._compressor.compress(lines))

    def _put(self, compressed: bytes) -> None:
        self._bytes.update(compressed)
        self._file.write(compressed)

    def close(self) -> tuple[str, str]:
        """Closes the file, on the disk by then; returns the sums of the lines and of the file."""
        self._put(self._compressor.flush())
        _close(self._file)
        return self._lines.hexdigest(), self._bytes.hexdigest()


async def write(connection: AsyncConnection, month: date, folder: Path) -> Path:
    """Archives a month and returns the manifest's path; the manifest is written last, and proves the file whole."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    name = f"chat-{month:%Y-%m}"
    unfinished = folder / f"{name}.jsonl.zst.part"
    writer = _Writer(unfinished)
    counts = dict.fromkeys(months.TABLES, 0)
    for table in months.TABLES:
        async for rows in months.rows(connection, table, month):
            counts[table] += len(rows)
            lines = "".join(f'{{"table":"{table}","row":{row}}}\n' for row in rows)
            await asyncio.to_thread(writer.write, lines.encode())
    lines_sum, file_sum = await asyncio.to_thread(writer.close)
    unfinished.rename(folder / f"{name}.jsonl.zst")
    manifest = Manifest(f"{month:%Y-%m}", f"{name}.jsonl.zst", counts, lines_sum, file_sum)
    path = _manifest(month, folder)
    await asyncio.to_thread(_describe, manifest, path)
    await asyncio.to_thread(verify, path)  # seconds for a million rows
    return path


def _describe(manifest: Manifest, path: Path) -> None:
    """Writes the manifest, and syncs the folder: the month is dropped next, and its names must outlive a power cut."""
    with path.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        _close(file)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _close(file: BinaryIO) -> None:
    """Closes a file once the disk has all of it."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def verify(manifest_path: Path) -> Manifest:
    """Returns the manifest if the file matches it. Raises `Damaged`."""
    manifest = msgspec.json.decode(manifest_path.read_bytes(), type=Manifest)
    whole, lines, counts = hashlib.sha256(), hashlib.sha256(), dict.fromkeys(months.TABLES, 0)
    path = manifest_path.with_name(manifest.file)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            whole.update(block)
    if whole.hexdigest() != manifest.file_sha256:
        raise Damaged(f"{path} has changed since it was written.")
    for raw in _lines(path):
        lines.update(raw)
        counts[msgspec.json.decode(raw, type=Line).table] += 1
    if (lines.hexdigest(), counts) != (manifest.lines_sha256, manifest.rows):
        raise Damaged(f"{path} does not hold what its manifest says.")
    return manifest


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        left = b""
        while block := reader.read(1 << 20):
            *whole, left = (left + block).split(b"\n")
            yield from (line + b"\n" for line in whole)


async def restore(database: Database, manifest_path: Path) -> Manifest:
    """Restores a month in one transaction; rows that exist stay. Raises `Damaged` before it writes anything."""
    manifest = await asyncio.to_thread(verify, manifest_path)
    async with database.transaction() as connection:
        await months.make(connection, date.fromisoformat(f"{manifest.month}-01"))
        table, waiting = "", list[str]()
        for raw in _lines(manifest_path.with_name(manifest.file)):
            line = msgspec.json.decode(raw, type=Line)
            if waiting and (line.table != table or len(waiting) == months.BATCH):
                await months.put_back(connection, table, waiting)
                waiting = []
            table = line.table
            waiting.append(bytes(line.row).decode())
        if waiting:
            await months.put_back(connection, table, waiting)
        manifest_path.with_suffix(".keep").touch()
    return manifest


def is_kept(month: date, folder: Path) -> bool:
    """Returns true if the month was restored, and is to stay."""
    return _manifest(month, folder).with_suffix(".keep").exists()


def _manifest(month: date, folder: Path) -> Path:
    return folder / f"chat-{month:%Y-%m}.json"


async def _restore_by_hand(manifest_path: Path) -> None:
    database = Database(read(Settings).database_url, "chat")
    try:
        manifest = await restore(database, manifest_path)
    finally:
        await database.stop()
    print(f"restored {manifest.month}: {manifest.rows}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        if len(sys.argv) != 3 or sys.argv[1] != "restore":
            raise SystemExit(__doc__)
        asyncio.run(_restore_by_hand(Path(sys.argv[2])))
