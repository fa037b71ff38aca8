"""Identifiers: UUIDv7 strings, which sort by the time they were made (RFC 9562)."""

from uuid import UUID

import uuid_utils


def new_id() -> str:
    """A fresh UUIDv7 in its canonical text form."""
    return str(uuid_utils.uuid7())


def is_id(text: str) -> bool:
    """Whether `text` is a canonical UUID, so that it can be compared with a `uuid` column."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
