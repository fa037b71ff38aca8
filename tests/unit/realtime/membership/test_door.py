"""The door: few at a time, in their order, nobody for ever."""

import asyncio

import pytest

from libs.common.errors import UNAVAILABLE, PresenceError
from services.realtime.membership.door import Door


async def test_so_many_are_in_it_at_a_time_and_the_others_follow_in_their_order() -> None:
    door, inside, most_inside, entered = Door(most=3), 0, 0, list[int]()

    async def enter(number: int) -> None:
        nonlocal inside, most_inside
        async with door:
            entered.append(number)
            inside += 1
            most_inside = max(most_inside, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*map(enter, range(10)))
    assert (entered, most_inside) == (list(range(10)), 3)


async def test_whoever_waits_too_long_is_told_and_takes_nobodys_place() -> None:
    door = Door(most=1, longest_wait=0.01)
    async with door:
        with pytest.raises(PresenceError) as raised:
            async with door:
                pytest.fail("There was no room.")
        assert raised.value.kind is UNAVAILABLE
    async with door:
        pass
