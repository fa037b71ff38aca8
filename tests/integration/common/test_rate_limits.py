"""How often one may, on a real Redis and without it."""

import asyncio
import itertools

import pytest
from limits import RateLimitItem

from libs.common import cache
from libs.common.contracts import auth
from libs.common.contracts.auth import Empty
from libs.common.contracts.registry import Access, Limit, Operation
from libs.common.edge import limits as edge_limits
from libs.common.edge.limits import LimitState, RateLimits
from libs.common.errors import RATE_LIMITED
from libs.common.identity import Identity
from tests.integration.common.world import account, identity, proxied
from tests.support.waiting import eventually

ALICE = account("alice")
HERE, THERE = "203.0.113.9", "203.0.113.10"


def operation(calls: int = 3, seconds: int = 60, name: str = "test.limited") -> Operation[Empty, Empty]:
    return Operation(name, "chat", Empty, Empty, Access.ANYONE, Limit(calls, seconds))


@pytest.fixture
def limits(redis_url: str) -> RateLimits:
    return RateLimits(redis_url, 1.0)


async def spend(
    limits: RateLimits, times: int, who: Identity = ALICE, address: str = HERE, *, calls: int = 3, seconds: int = 60
) -> list[bool]:
    """Returns for each call whether it was too much."""
    return [(await limits.spend(operation(calls, seconds), who, address)).exceeded for _ in range(times)]


async def test_the_remaining_calls_are_counted_down_to_none(limits: RateLimits) -> None:
    states = [await limits.spend(operation(), ALICE, HERE) for _ in range(5)]
    assert [state.exceeded for state in states] == [False, False, False, True, True]
    assert [state.remaining for state in states] == [2, 1, 0, 0, 0]
    assert all(state.limit == 3 and 0 <= state.reset <= 60 for state in states)


async def test_headers_name_the_limit_and_only_a_refusal_says_when_to_come_back(limits: RateLimits) -> None:
    within = await limits.spend(operation(calls=1), ALICE, HERE)
    assert within.headers() == {
        "RateLimit-Limit": "1", "RateLimit-Remaining": "0", "RateLimit-Reset": str(within.reset),
    }  # fmt: skip
    beyond = await limits.spend(operation(calls=1), ALICE, HERE)
    assert beyond.headers()["Retry-After"] == str(max(beyond.reset, 1))
    error = beyond.error()
    assert (error.kind, error.details) == (RATE_LIMITED, {"retry_after": max(beyond.reset, 1)})


def test_a_refusal_never_says_to_come_back_at_once() -> None:
    state = LimitState(1, 0, 0, exceeded=True)
    assert state.headers()["Retry-After"] == "1"
    assert state.error().details == {"retry_after": 1}


async def test_a_caller_may_again_after_the_window(limits: RateLimits) -> None:
    assert await spend(limits, 2, calls=1, seconds=1) == [False, True]

    async def may_again() -> bool:
        return not (await limits.spend(operation(1, 1), ALICE, HERE)).exceeded

    await eventually(may_again, 5)


async def test_a_limit_is_counted_for_each_person_and_operation_alone(limits: RateLimits) -> None:
    assert await spend(limits, 4) == [False, False, False, True]
    assert await spend(limits, 1, account("bob")) == [False]
    assert not (await limits.spend(operation(name="test.other"), ALICE, HERE)).exceeded


async def test_an_account_has_one_limit_wherever_it_is(limits: RateLimits) -> None:
    await spend(limits, 3, address=HERE)
    assert await spend(limits, 1, account("alice", token_id="another"), THERE) == [True]


async def test_people_without_a_token_share_the_limit_of_their_address(limits: RateLimits) -> None:
    await spend(limits, 3, Identity("guest", "one", "one"))
    assert await spend(limits, 1, Identity("guest", "two", "two")) == [True]
    assert await spend(limits, 1, Identity("guest", "two", "two"), THERE) == [False]
    assert await spend(limits, 1, identity("guest")) == [False], "a guest with a token has one of its own"


async def test_operations_that_make_tokens_are_limited_by_address_whatever_the_token(limits: RateLimits) -> None:
    making = Operation("test.makes", "chat", Empty, Empty, Access.ANYONE, Limit(2, 60, per_address=True))
    people = (ALICE, account("bob"), identity("guest"), identity("anonymous"))
    assert [(await limits.spend(making, who, HERE)).exceeded for who in people] == [False, False, True, True]
    assert not (await limits.spend(making, ALICE, THERE)).exceeded


async def test_an_ipv6_customer_has_one_address(limits: RateLimits) -> None:
    nobody = identity("anonymous")
    assert await spend(limits, 2, nobody, "2001:db8::1") + await spend(limits, 2, nobody, "2001:db8::2") == [
        False, False, False, True,
    ]  # fmt: skip
    assert await spend(limits, 1, nobody, "2001:db8:0:1::1") == [False]
    await spend(limits, 3, nobody, HERE)
    assert await spend(limits, 1, nobody, f"::ffff:{HERE}") == [True]


async def test_of_ten_thousand_challenges_from_one_address_the_limit_passes(limits: RateLimits) -> None:
    passed = 0
    for start in range(0, 10_000, 500):
        people = (Identity("guest", str(number), "x") for number in range(start, start + 500))
        asked = await asyncio.gather(
            *(limits.spend(auth.challenge, who, f"2001:db8::{i + 1:x}") for i, who in enumerate(people))
        )
        passed += sum(not budget.exceeded for budget in asked)
    assert passed == auth.challenge.limit.calls


async def test_two_edges_share_a_limit(redis_url: str) -> None:
    one, two = RateLimits(redis_url, 1.0), RateLimits(redis_url, 1.0)
    assert await spend(one, 2) + await spend(two, 2) == [False, False, False, True]


async def test_calls_at_once_are_all_counted(limits: RateLimits) -> None:
    found = await asyncio.gather(*(limits.spend(operation(), ALICE, HERE) for _ in range(20)))
    assert sum(not budget.exceeded for budget in found) == 3


async def test_a_burst_waits_for_its_turn_and_is_no_failure_of_redis(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One connection, for which nobody would wait as long as all take: limits would be local, each edge's its own."""
    monkeypatch.setattr(cache, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(cache, "TIMEOUT", 0.5)
    edge = RateLimits(redis_url, 1.0)
    await asyncio.gather(*(spend(edge, 1, calls=1000) for _ in range(1000)))
    monkeypatch.undo()
    assert (await RateLimits(redis_url, 1.0).spend(operation(1000), ALICE, HERE)).exceeded


async def test_the_factor_multiplies_every_limit(redis_url: str) -> None:
    assert await spend(RateLimits(redis_url, 2.0), 7) == [False] * 6 + [True]


async def test_a_factor_of_zero_switches_limits_off_and_says_nothing_of_them(redis_url: str) -> None:
    limits = RateLimits(redis_url, 0.0)
    assert await spend(limits, 10) == [False] * 10
    assert (await limits.spend(operation(), ALICE, HERE)).headers() == {}


def counted(limits: RateLimits, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A list that grows by one with each question to Redis."""
    questions: list[object] = []
    hit = limits._shared.hit

    async def recorded(item: RateLimitItem, *key: str) -> bool:
        questions.append(item)
        return await hit(item, *key)

    monkeypatch.setattr(limits._shared, "hit", recorded)
    return questions


async def test_while_redis_is_away_limits_are_local_and_do_not_ask_it_then_shared_again(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_limits, "REDIS_REST", 3600.0)
    async with proxied(redis_url) as proxy:
        limits, other = RateLimits(proxy.url, 1.0), RateLimits(redis_url, 1.0)
        assert await spend(limits, 3) == [False, False, False]
        await proxy.close()
        questions = counted(limits, monkeypatch)
        assert await spend(limits, 4) == [False, False, False, True], "a local limit, not none"
        assert len(questions) == 1, "the first caller asks Redis, and nobody else waits for it"
        await proxy.open()
        limits._local_until = 0.0  # the rest is over

        names = (f"test.back-{number}" for number in itertools.count())

        async def shared_again() -> bool:
            """The other edge has used up what this one is then refused."""
            fresh = operation(calls=1, name=next(names))
            await other.spend(fresh, ALICE, HERE)
            return (await limits.spend(fresh, ALICE, HERE)).exceeded

        await eventually(shared_again)


async def test_one_account_is_counted_by_address_so_that_nobody_locks_others_out_of_it(limits: RateLimits) -> None:
    logins = Operation("test.logins", "chat", Empty, Empty, Access.ANYONE, Limit(9, 60, True, per_account=2))

    async def spend_on(account: str, address: str, times: int) -> list[bool]:
        return [(await limits.spend_on_account(logins, account, address)).exceeded for _ in range(times)]

    assert await spend_on("alice", HERE, 3) == [False, False, True]
    assert await spend_on("bob", HERE, 1) == [False]
    assert await spend_on("alice", THERE, 1) == [False]


async def test_a_limit_that_names_no_account_bounds_none(limits: RateLimits) -> None:
    states = [await limits.spend_on_account(operation(), "alice", HERE) for _ in range(5)]
    assert not any(state.exceeded for state in states)
