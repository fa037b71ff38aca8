"""Budgets: so much in a time, no more, and all of it again when the time is over."""

from services.realtime.rooms.budgets import MOST_REFUSED, RELAY_BURST, Budget, ByteBudget, Insistence
from tests.support.clock import Clock


def test_a_window_holds_so_many_and_the_next_one_as_many_again() -> None:
    clock = Clock()
    budget = Budget(2, 60, clock)
    assert [budget.exceeded() for _ in range(3)] == [False, False, True]
    clock.now += 60
    assert [budget.exceeded() for _ in range(3)] == [False, False, True]


def test_bytes_come_back_at_their_rate_and_not_beyond_the_burst() -> None:
    clock = Clock()
    budget = ByteBudget(100, clock)
    assert not budget.exceeded(100 * RELAY_BURST)
    assert budget.exceeded(1)
    clock.now += 1
    assert (budget.exceeded(101), budget.exceeded(100), budget.exceeded(1)) == (True, False, True)
    clock.now += 1000
    assert budget.exceeded(100 * RELAY_BURST + 1)


def test_a_refused_message_spends_nothing_so_a_small_one_still_passes() -> None:
    budget = ByteBudget(100, Clock())
    assert budget.exceeded(100 * RELAY_BURST + 1)
    assert not budget.exceeded(100 * RELAY_BURST)


def test_what_is_taken_away_is_gone_for_so_long_however_often() -> None:
    clock = Clock()
    budget = ByteBudget(100, clock)
    for _ in range(5):
        budget.take_away(2.0)
    clock.now += 2.0
    assert budget.exceeded(1)
    clock.now += 0.5
    assert not budget.exceeded(50)


def test_a_rate_of_nought_is_no_limit() -> None:
    assert not ByteBudget(0).exceeded(2**40)
    assert not Budget(0).exceeded(2**40)


def test_who_is_refused_in_each_of_so_many_seconds_in_a_row_insists() -> None:
    clock = Clock()
    insistence = Insistence(clock)
    for _ in range(MOST_REFUSED - 1):
        assert [insistence.refused() for _ in range(50)] == [False] * 50
        clock.now += 1
    assert insistence.refused()


def test_a_second_without_a_refusal_begins_anew() -> None:
    clock = Clock()
    insistence = Insistence(clock)
    for _ in range(3):
        for _ in range(MOST_REFUSED - 1):
            assert not insistence.refused()
            clock.now += 1
        clock.now += 1


def test_who_has_more_taken_than_refused_is_hasty_and_does_not_insist() -> None:
    clock = Clock()
    insistence = Insistence(clock)
    for _ in range(3 * MOST_REFUSED):
        for _ in range(20):
            insistence.taken()
        assert [insistence.refused() for _ in range(20)] == [False] * 20
        clock.now += 1


def test_what_is_kept_for_others_is_spent_by_none_but_them() -> None:
    budget = Budget(4, clock=Clock())
    assert [budget.has_spent(0.5) or budget.exceeded() for _ in range(4)] == [False, False, True, True]
    assert [budget.exceeded() for _ in range(3)] == [False, False, True]
