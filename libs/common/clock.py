"""Time, in one place: aware UTC datetimes, and RFC 3339 text for the wire."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """`2024-01-15T10:30:00.000Z`: UTC with milliseconds, as JavaScript's `toISOString` writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
