"""Identifiers: UUIDv7 strings, which sort by the time they were made (RFC 9562)."""

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils

CLOCKS_DIFFER = 60  # seconds


def new_id() -> str:
    """A fresh UUIDv7 in its canonical text form."""
    return str(uuid_utils.uuid7())


def made_at(id: str) -> datetime | None:
    """Returns when an id was made, by the clock of who made it; None for what is no UUIDv7."""
    return datetime.fromtimestamp(_milliseconds(id) / 1000, UTC) if is_id(id) and UUID(id).version == 7 else None


def earliest_after(id: str) -> str:
    """A bound below whatever was made after `id`, also by a machine whose clock is up to `CLOCKS_DIFFER` behind."""
    return _first(max(_milliseconds(id) - CLOCKS_DIFFER * 1000, 0))


def first_at(moment: datetime) -> str:
    """The bound between ids that were made before a moment, by their makers' clocks, and those from then on."""
    return _first(min(max(int(moment.timestamp() * 1000), 0), 2**48 - 1))


def _first(milliseconds: int) -> str:
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7000-8000-000000000000"


def is_id(text: str) -> bool:
    """Returns whether `text` is a canonical UUID, so that it can be compared with a `uuid` column."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _milliseconds(id: str) -> int:
    return int(id[:8] + id[9:13], 16)
