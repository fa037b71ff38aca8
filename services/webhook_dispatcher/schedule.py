"""What an answer means for its delivery: done, again at some time, or dead."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from services.webhook_dispatcher.sender import Answer

RETRIES = tuple(
    timedelta(**pause)
    for pause in (
        {"seconds": 5}, {"minutes": 5}, {"minutes": 30}, {"hours": 2}, {"hours": 5},
        {"hours": 10}, {"hours": 14}, {"hours": 20}, {"hours": 24},
    )
)  # fmt: skip
"""Pause before the second attempt, the third, ...; the first is made at once. The schedule of Standard Webhooks."""
LONGEST_RETRY_AFTER = timedelta(hours=24)
GONE = 410
_ASK_TO_WAIT = (429, 503)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`next_attempt_at` is set while `status` is pending. `disable` is why the whole subscription ends."""

    status: str
    next_attempt_at: datetime | None = None
    disable: str | None = None


def jitter() -> float:
    """A factor around 1, so that what failed together is not retried together."""
    return random.uniform(0.9, 1.1)  # noqa: S311  no secret


def judge(answer: Answer, attempts: int, moment: datetime, factor: Callable[[], float] = jitter) -> Verdict:
    """`attempts` counts this one."""
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
    """Seconds or an HTTP date (RFC 9110, 10.2.3); zero for what is neither."""
    header = header.strip()
    if header.isascii() and header.isdigit():
        return timedelta(seconds=min(int(header[:10]), LONGEST_RETRY_AFTER.total_seconds()))
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return timedelta()
    return (date if date.tzinfo else date.replace(tzinfo=UTC)) - moment
