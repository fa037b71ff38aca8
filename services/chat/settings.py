"""Settings of the chat service."""

from dataclasses import dataclass

from libs.common.settings import ArchiveSettings


@dataclass(frozen=True)
class Settings(ArchiveSettings):
    """Those of a process with a database and the archives."""
