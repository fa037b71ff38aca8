"""How long the supervisor waits before it starts a dead component again."""

from deploy.local.supervisor import Attempts


def test_a_component_that_keeps_dying_is_given_more_and_more_time() -> None:
    attempts, now, delays = Attempts(), 0.0, []
    for _ in range(8):
        delays.append(attempts.next_delay(now))
        now += delays[-1] + 1
    assert delays == [0.5, 1, 2, 5, 10, 30, 30, 30]
    assert attempts.next_delay(now + 61) == 0.5
