"""The manifest beside a backup: what the file must be, and what must be in the database that it is restored to."""

import hashlib
from datetime import datetime
from pathlib import Path

import msgspec

FORMAT = 1


class BackupError(Exception):
    """A backup, drill or restore did not succeed. The text is for an operator."""


class Refused(BackupError):
    """A backup is not what its manifest says, or nothing that this server can take. Nothing was touched."""


class Archive(msgspec.Struct):
    """A month of chat that is no longer in the database, as a file that was there when the backup was made."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct):
    """Everything was read in the one snapshot that was dumped. `rows` and `owners` are by `schema.table`.

    `owners` has those tables that are not the database owner's. `postgres` is the server's `server_version_num`.
    """

    format: int
    file: str
    bytes: int
    sha256: str
    made_at: datetime
    software: str
    revision: str
    postgres: int
    rows: dict[str, int]
    owners: dict[str, str]
    roles: list[str]
    archives: list[Archive]


def encoded(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"


def manifest_path(backup: Path) -> Path:
    """Returns where the manifest of a backup lies."""
    return backup.with_suffix(".json")


def read(backup: Path) -> Manifest:
    """Returns the manifest of a backup. Raises Refused where there is none that can be read."""
    path = manifest_path(backup)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise Refused(f"{path} is missing: nothing says what {backup.name} must hold.") from error
    except msgspec.DecodeError as error:
        raise Refused(f"{path} is no manifest of this version ({error}).") from error
    if found.format != FORMAT:
        raise Refused(f"{path} has format {found.format}; this version reads format {FORMAT}.")
    return found


def prove(backup: Path) -> Manifest:
    """Returns the manifest if the file has the size and the sum that it names. Raises Refused."""
    manifest = read(backup)
    try:
        size, found = backup.stat().st_size, sum_of(backup)
    except OSError as error:
        raise Refused(f"{backup} cannot be read: {error.strerror}.") from error
    if size != manifest.bytes:
        raise Refused(f"{backup} has {size} bytes; its manifest says {manifest.bytes}.")
    if found != manifest.sha256:
        raise Refused(f"{backup} has changed since it was made: its SHA-256 is not that of its manifest.")
    return manifest


def sum_of(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
