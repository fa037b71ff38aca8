"""What is asked together goes together, never in a call that was already on its way."""

import asyncio
from collections.abc import Sequence

import pytest

from services.realtime.together import Together


class Service:
    """Answers with ten times the number; negative ones are refused, one hundred breaks it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self.open = asyncio.Event()

    async def ask(self, key: str, items: list[int]) -> Sequence[int | Exception]:
        self.calls.append((key, items))
        await self.open.wait()
        if 100 in items:
            raise RuntimeError("broken")
        return [ValueError(item) if item < 0 else item * 10 for item in items]


async def test_what_comes_while_a_call_is_under_way_goes_in_the_next() -> None:
    service = Service()
    together = Together(service.ask, most=3)
    first = [asyncio.create_task(together("a", n)) for n in (1, 2)]
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(together("a", n)) for n in (3, 4, 5, 6)]
    other = asyncio.create_task(together("b", 7))
    await asyncio.sleep(0.01)
    assert service.calls == [("a", [1, 2]), ("b", [7])]
    service.open.set()
    assert await asyncio.gather(*first, *later, other) == [10, 20, 30, 40, 50, 60, 70]
    assert service.calls[2:] == [("a", [3, 4, 5]), ("a", [6])]


async def test_each_gets_its_own_answer_and_a_failure_is_everyones() -> None:
    service = Service()
    service.open.set()
    together = Together(service.ask)
    good, refused = await asyncio.gather(together("a", 1), together("a", -1), return_exceptions=True)
    assert (good, type(refused)) == (10, ValueError)
    failed = await asyncio.gather(together("a", 1), together("a", 100), return_exceptions=True)
    assert [type(answer) for answer in failed] == [RuntimeError, RuntimeError]
    assert await together("a", 2) == 20


async def test_whoever_stops_waiting_costs_the_others_nothing() -> None:
    service = Service()
    together = Together(service.ask)
    gone, stays = asyncio.create_task(together("a", 1)), asyncio.create_task(together("a", 2))
    await asyncio.sleep(0)
    gone.cancel()
    service.open.set()
    assert await stays == 20
    with pytest.raises(asyncio.CancelledError):
        await gone
