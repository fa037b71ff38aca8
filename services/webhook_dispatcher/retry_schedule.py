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
LONGEST_WAIT = timedelta(hours=24)  # for which an endpoint that asks to wait uses up no attempt
LONGEST_GUESS = timedelta(minutes=5)  # of a pause whose length the endpoint left to us
GONE = 410
_ASK_TO_WAIT = (429, 503)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`next_attempt_at` is set only while `status` is pending. `disable` is the reason for ending the subscription.

    Until `pause_until` nothing is to be sent to the endpoint. An `excused` attempt uses up none of the schedule.
    """

    status: str
    next_attempt_at: datetime | None = None
    disable: str | None = None
    pause_until: datetime | None = None
    excused: bool = False


def jitter() -> float:
    """Returns a factor around 1, so that deliveries that failed together are not retried together."""
    return random.uniform(0.9, 1.1)  # noqa: S311  no secret


def judge(
    answer: Answer,
    attempts: int,
    moment: datetime,
    factor: Callable[[], float] = jitter,
    *,
    waiting_since: datetime | None = None,
) -> Verdict:
    """Returns what follows from an answer at `moment`.

    `attempts` counts the attempt that it answers, and none that was excused. `waiting_since` is when the endpoint asked
    to wait for the first time since it last answered anything else; None if it did not.
    """
    if answer.delivered:
        return Verdict("delivered")
    if answer.status_code == GONE:
        return Verdict("dead", disable="The endpoint answered 410 Gone.")
    asked = asked_to_wait(answer, moment)
    if answer.status_code in _ASK_TO_WAIT or asked > timedelta():
        return _wait(attempts, moment, factor, asked, waiting_since or moment)
    if attempts > len(RETRIES):
        return Verdict("dead")
    return Verdict("pending", moment + RETRIES[attempts - 1] * factor())


def _wait(attempts: int, moment: datetime, factor: Callable[[], float], asked: timedelta, since: datetime) -> Verdict:
    """Pauses the endpoint for as long as it asked, and never less than the first pause of the schedule.

    One that goes on asking is asked less and less often: it waits as long again as it has already, up to
    `LONGEST_GUESS`. After `LONGEST_WAIT` the attempts count again.
    """
    waited = moment - since
    pause = max(RETRIES[0] * factor(), min(waited, LONGEST_GUESS), asked)
    if waited < LONGEST_WAIT:
        return Verdict("pending", moment + pause, pause_until=moment + pause, excused=True)
    if attempts > len(RETRIES):
        return Verdict("dead", pause_until=moment + pause)
    following = max(pause, RETRIES[attempts - 1] * factor())
    return Verdict("pending", moment + following, pause_until=moment + pause)


def asked_to_wait(answer: Answer, moment: datetime) -> timedelta:
    """Returns for how long an endpoint asks to be left alone, at most a day; zero or less where it does not."""
    asked = _retry_after(answer.retry_after, moment) if answer.retry_after else timedelta()
    return min(asked, LONGEST_RETRY_AFTER)


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
