"""One at a time of each key."""

import asyncio

import pytest

from libs.common.errors import RATE_LIMITED, PresenceError
from libs.common.tasks.turns import Turns


async def test_those_of_one_key_go_one_after_the_other_and_others_do_not_wait() -> None:
    turns, order = Turns(), list[str]()

    async def enter(name: str, key: str) -> None:
        async with turns.of(key):
            order.append(f"{name} in")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append(f"{name} out")

    await asyncio.gather(enter("first", "a"), enter("second", "a"), enter("other", "b"))

    assert order.index("first out") < order.index("second in")
    assert order.index("other in") < order.index("first out")


async def test_more_than_may_wait_of_one_key_are_refused_at_once() -> None:
    turns = Turns(longest_wait=60.0, most_waiting=2)

    async def enter() -> None:
        async with turns.of("a"):
            await asyncio.sleep(0)

    async with turns.of("a"):
        waiting = [asyncio.create_task(enter()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(PresenceError) as refused:
            await enter()
        assert refused.value.kind is RATE_LIMITED
        async with turns.of("b"), turns.of(""):
            pass
    await asyncio.gather(*waiting)


async def test_a_turn_that_does_not_come_is_refused_and_leaves_nothing_behind() -> None:
    turns = Turns(longest_wait=0.01)
    async with turns.of("a"):
        with pytest.raises(PresenceError):
            async with turns.of("a"):
                pytest.fail("two at once")
    async with turns.of("a"):
        pass
    assert not turns._turns
    assert not turns._inside
