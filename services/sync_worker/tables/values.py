"""Reads the primary's values, whatever type its columns have.

The primary's rows come as JSON, so a value is a string, a number, a boolean, a list or null. What can
be understood is understood; `BadRow` is for the value without which a row means nothing.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

type Raw = Mapping[str, Any]

BIGINT = 2**63 - 1
INTEGER = 2**31 - 1
_ACCOUNT = re.compile(r"[a-z][a-z0-9.-]{2,15}")
_FLAGS = {"t": True, "true": True, "1": True, "yes": True, "f": False, "false": False, "0": False, "no": False}


class BadRow(Exception):
    """This row cannot be understood; the text says why."""


def text(value: Any, longest: int | None = None) -> str | None:
    """Returns a string, cut to `longest` characters; None for null."""
    if value is None:
        return None
    return (value if isinstance(value, str) else str(value))[:longest]


def account(raw: Raw, *columns: str) -> str:
    """Returns the Hive account in the first of `columns` that holds something. Raises `BadRow`."""
    name = next((raw[column] for column in columns if raw.get(column)), None)
    if not isinstance(name, str) or not _ACCOUNT.fullmatch(name):
        raise BadRow(f"{columns[0]} is no account: {str(name)[:40]!r}")
    return name


def whole(value: Any, largest: int = BIGINT) -> int | None:
    """Returns an integer, brought into ±`largest`; None for what is no number."""
    if type(value) is int:
        return max(-largest, min(largest, value))
    number = real(value)
    if number is None:
        return None
    exact = value if isinstance(value, int) else int(number)
    return max(-largest, min(largest, exact))


def real(value: Any) -> float | None:
    """Returns a finite float; None for what is no number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    except OverflowError:
        return float(BIGINT) if value > 0 else -float(BIGINT)
    return number if math.isfinite(number) else None


def flag(raw: Raw, column: str, *, absent: bool = False, null: bool = False) -> bool:
    """Returns a boolean: `absent` where there is no such column, `null` where it holds nothing.

    Raises `BadRow` for an unknown value: a wrong guess would let strangers in.
    """
    if column not in raw:
        return absent
    value = raw[column]
    if isinstance(value, bool):
        return value
    if value is None:
        return null
    known = _FLAGS.get(str(value).lower())
    if known is None:
        raise BadRow(f"{column} is neither true nor false: {str(value)[:40]!r}")
    return known


def moment(value: Any) -> datetime | None:
    """Returns an aware time; one without a zone is UTC. None for null, `infinity` and years before Christ."""
    try:
        parsed = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def words(value: Any, longest: int, most: int) -> list[str]:
    """Returns a list of short strings from an array or a comma-separated text."""
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return [str(item).strip()[:longest] for item in items if item not in (None, "")][:most]
