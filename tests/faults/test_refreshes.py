"""Nobody is logged out who did not steal, whatever is killed and whichever answers are lost; whoever steals is noticed.

`python -m bench.refreshes` does the same ten thousand times.
"""

from deploy.local.stack import Stack
from tests.support.tabs import refreshed_under_kills

LOGINS, ROUNDS = 50, 4


async def test_logins_with_several_tabs_live_through_kills_and_thefts_are_noticed(stack: Stack) -> None:
    outcome = await refreshed_under_kills(stack, LOGINS, ROUNDS)
    assert outcome.kills > 0
    assert (outcome.lost, outcome.unnoticed) == ([], 0), outcome
    assert outcome.thefts == LOGINS
    assert outcome.refreshes == LOGINS * ROUNDS * 3
