from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.webhook_dispatcher.retry_schedule import Verdict, jitter, judge
from services.webhook_dispatcher.sender import Answer

NOW = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
FAILED = Answer(500, "HTTP 500.")


def pause_after(attempts: int, answer: Answer = FAILED, factor: float = 1.0) -> timedelta:
    verdict = judge(answer, attempts, NOW, lambda: factor)
    assert verdict.status == "pending"
    assert verdict.next_attempt_at
    return verdict.next_attempt_at - NOW


def test_success_ends_a_delivery() -> None:
    assert judge(Answer(204, None), 3, NOW) == Verdict("delivered")


def test_failures_are_retried_on_the_schedule() -> None:
    pauses = [pause_after(attempts).total_seconds() for attempts in range(1, 10)]
    assert pauses == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]


def test_after_the_tenth_attempt_a_delivery_is_dead() -> None:
    assert judge(FAILED, 10, NOW) == Verdict("dead")


def test_no_answer_is_a_failure_like_any_other() -> None:
    assert pause_after(2, Answer(None, "No answer within 15 seconds.")) == timedelta(minutes=5)


def test_jitter_spreads_a_pause_by_a_tenth() -> None:
    assert pause_after(2, factor=0.9) == timedelta(seconds=270)
    assert all(0.9 <= jitter() <= 1.1 for _ in range(100))


def test_gone_disables_the_subscription() -> None:
    verdict = judge(Answer(410, "HTTP 410."), 1, NOW)
    assert verdict.status == "dead"
    assert verdict.disable


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("1", 5),  # sooner than the schedule
        ("0", 5),
        ("-5", 5),
        ("soon", 5),
        ("²", 5),
        ("1.5", 5),
        ("99999999999999999999", 86_400),
        (format_datetime(NOW + timedelta(minutes=10), usegmt=True), 600),
        ("Mon, 15 Jan 2024 10:40:00 -0000", 600),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 5),
        (format_datetime(NOW + timedelta(days=400), usegmt=True), 86_400),
        ("Mon, 99 Jan 2024 10:40:00 GMT", 5),
    ],
)
def test_retry_after_is_honoured_within_a_day(status: int, header: str, seconds: int) -> None:
    answer = Answer(status, f"HTTP {status}.", retry_after=header)
    assert pause_after(1, answer) == timedelta(seconds=seconds)


def test_retry_after_is_honoured_on_any_failure() -> None:
    verdict = judge(Answer(500, "HTTP 500.", retry_after="120"), 1, NOW, lambda: 1.0)
    assert verdict == Verdict(
        "pending", NOW + timedelta(minutes=2), pause_until=NOW + timedelta(minutes=2), excused=True
    )
    assert pause_after(2, Answer(500, "HTTP 500.", retry_after="0")) == timedelta(minutes=5)


def wait_after(asked_for: timedelta, attempts: int = 1, **header: str) -> Verdict:
    """What follows a 503 of an endpoint that has asked to wait for so long already."""
    answer = Answer(503, "HTTP 503.", retry_after=header.get("retry_after"))
    return judge(answer, attempts, NOW, lambda: 1.0, waiting_since=NOW - asked_for)


def test_who_goes_on_asking_to_wait_is_asked_less_often_and_never_waits_longer_than_they_ask() -> None:
    waits = [timedelta(0), timedelta(seconds=5), timedelta(seconds=40), timedelta(hours=3)]
    pauses = [verdict.pause_until - NOW for verdict in map(wait_after, waits) if verdict.pause_until]
    assert [pause.total_seconds() for pause in pauses] == [5, 5, 40, 300]
    assert wait_after(timedelta(hours=3), retry_after="3600").pause_until == NOW + timedelta(hours=1)


def test_asking_to_wait_uses_up_no_attempt_for_a_day() -> None:
    almost = wait_after(timedelta(hours=23, minutes=59), attempts=10)
    assert (almost.status, almost.excused) == ("pending", True)
    assert wait_after(timedelta(hours=24), attempts=10).status == "dead"
    after = wait_after(timedelta(hours=24), attempts=3)
    assert (after.excused, after.next_attempt_at) == (False, NOW + timedelta(minutes=30))
