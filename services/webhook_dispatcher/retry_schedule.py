"""Decides what follows an attempt: the delivery is delivered, retried at a later time, or dead."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from services.webhook_dispatcher.sender import Answer

# Pauses before the second attempt, the third, ...; the first is made at once. The schedule of Standard Webhooks.
RETRIES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
LONGEST_RETRY_AFTER = timedelta(hours=24)
GONE = 410
_ASK_TO_WAIT = (429, 503)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`next_attempt_at` is set only while `status` is pending. `disable` is the reason for ending the subscription."""

    status: str
    next_attempt_at: datetime | None = None
    disable: str | None = None


def jitter() -> float:
    """Returns a factor around 1, so that deliveries that failed together are not retried together."""
    return random.uniform(0.9, 1.1)  # noqa: S311  no secret


def judge(answer: Answer, attempts: int, moment: datetime, factor: Callable[[], float] = jitter) -> Verdict:
    """Returns what follows from an answer at `moment`. `attempts` counts the attempt that it answers."""
    if answer.delivered:
        return Verdict("delivered")
    if answer.status_code == GONE:
        return Verdict("dead", disable="The endpoint answered 410 Gone.")
    if attempts > len(RETRIES):
        return Verdict("dead")
    pause = RETRIES[attempts - 1] * factor()
    if answer.status_code in _ASK_TO_WAIT and answer.retry_after:
        pause = max(pause, min(_retry_after(answer.retry_after, moment), LONGEST_RETRY_AFTER))
    return Verdict("pending", moment + pause)


def _retry_after(header: str, moment: datetime) -> timedelta:
    """Reads a Retry-After header: seconds or an HTTP date (RFC 9110, 10.2.3). Returns zero for anything else."""
    header = header.strip()
    if header.isascii() and header.isdigit():
        return timedelta(seconds=min(int(header[:10]), LONGEST_RETRY_AFTER.total_seconds()))
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return timedelta()
    return (date if date.tzinfo else date.replace(tzinfo=UTC)) - moment
