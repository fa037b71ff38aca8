"""A caller who goes on asking after `rate_limited` is answered late; nobody else is."""

import asyncio

import pytest

from services.gateway import refusals
from services.gateway.refusals import HOLD_SECONDS, PROMPT, Refusals

STRANGER, OTHER = "203.0.113.9", "203.0.113.10"


class Sleep:
    """Lets those who wait go on when it is told to."""

    def __init__(self) -> None:
        self.naps: list[float] = []
        self.over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.naps.append(seconds)
        await self.over.wait()


async def test_refusals_beyond_the_prompt_ones_of_a_second_wait_and_those_of_others_do_not() -> None:
    sleep = Sleep()
    held = Refusals(sleep=sleep)
    for _ in range(PROMPT.calls):
        await held.hold(STRANGER)
    assert sleep.naps == []
    late = asyncio.create_task(held.hold(STRANGER))
    await asyncio.sleep(0)
    await held.hold(OTHER)
    assert sleep.naps == [HOLD_SECONDS]
    assert not late.done()
    sleep.over.set()
    await late


async def test_an_address_keeps_so_many_refusals_waiting_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MOST_HELD", 3)
    sleep = Sleep()
    held = Refusals(sleep=sleep)
    waiting = [asyncio.create_task(held.hold(STRANGER)) for _ in range(PROMPT.calls + 10)]
    await asyncio.sleep(0)
    assert len(sleep.naps) == 3
    assert sum(task.done() for task in waiting) == PROMPT.calls + 7
    sleep.over.set()
    await asyncio.gather(*waiting)
    late = asyncio.create_task(held.hold(STRANGER))
    await late
    assert len(sleep.naps) == 4, "those that were told make room"


async def test_without_limits_nobody_waits() -> None:
    sleep = Sleep()
    prompt = Refusals(hold=False, sleep=sleep)
    for _ in range(PROMPT.calls * 2):
        await prompt.hold(STRANGER)
    assert sleep.naps == []
