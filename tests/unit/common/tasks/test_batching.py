"""Work for the same place is done together, and everybody gets their own outcome."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from libs.common.errors import CONFLICT, UNAVAILABLE, PresenceError
from libs.common.tasks.batching import Batches
from tests.support.waiting import eventually


class Work:
    """Remembers what it was given; waits for `gate` where it is closed."""

    def __init__(self, answer: Callable[[int], int | PresenceError] = lambda item: item * 10) -> None:
        self.given: list[tuple[str, list[int]]] = []
        self.gate = asyncio.Event()
        self._answer = answer

    async def __call__(self, place: str, items: Sequence[int]) -> list[int | PresenceError]:
        self.given.append((place, list(items)))
        await self.gate.wait()
        return [self._answer(item) for item in items]


async def outcome(asking: Awaitable[int]) -> int | str:
    try:
        return await asking
    except PresenceError as error:
        return error.kind.code
    except ZeroDivisionError:
        return "bug"


async def begun(work: Work, batches: Batches[str, int, int]) -> asyncio.Task[int | str]:
    """The first item, on which the work now is."""
    first = asyncio.create_task(outcome(batches.do("here", 0)))
    await eventually(lambda: work.given == [("here", [0])])
    return first


async def test_the_first_goes_at_once_and_what_comes_meanwhile_together_in_its_order() -> None:
    work = Work()
    batches = Batches(work)
    first = await begun(work, batches)
    rest = [asyncio.create_task(batches.do("here", n)) for n in range(1, 6)]
    await asyncio.sleep(0)
    work.gate.set()
    assert await first == 0
    assert await asyncio.gather(*rest) == [10, 20, 30, 40, 50]
    assert work.given == [("here", [0]), ("here", [1, 2, 3, 4, 5])]


async def test_places_do_not_wait_for_each_other() -> None:
    work = Work()
    batches = Batches(work)
    first = await begun(work, batches)
    elsewhere = asyncio.create_task(batches.do("there", 1))
    await eventually(lambda: ("there", [1]) in work.given)
    work.gate.set()
    assert (await first, await elsewhere) == (0, 10)


async def test_a_refusal_is_its_own() -> None:
    work = Work(lambda item: PresenceError(CONFLICT) if item == 2 else item)
    batches = Batches(work)
    first = await begun(work, batches)
    rest = [asyncio.create_task(outcome(batches.do("here", n))) for n in range(1, 4)]
    await asyncio.sleep(0)
    work.gate.set()
    await first
    assert await asyncio.gather(*rest) == [1, "conflict", 3]


@pytest.mark.parametrize(
    ("error", "outcomes"),
    [(ZeroDivisionError(), [1, "bug", 3]), (PresenceError(UNAVAILABLE), ["unavailable"] * 3)],
    ids=["a bug: each is tried alone", "a refusal of all: it is everybody's"],
)
async def test_a_failure_of_the_work(error: Exception, outcomes: list[int | str]) -> None:
    opened = asyncio.Event()
    tried: list[list[int]] = []

    async def work(_: str, items: Sequence[int]) -> list[int | PresenceError]:
        tried.append(list(items))
        await opened.wait()
        if 2 in items:
            raise error
        return list(items)

    batches: Batches[str, int, int] = Batches(work)
    first = asyncio.create_task(outcome(batches.do("here", 0)))
    await eventually(lambda: bool(tried))
    rest = [asyncio.create_task(outcome(batches.do("here", n))) for n in range(1, 4)]
    await asyncio.sleep(0)
    opened.set()
    assert (await first, await asyncio.gather(*rest)) == (0, outcomes)


async def test_whoever_has_gone_is_left_out() -> None:
    work = Work()
    batches = Batches(work)
    first = await begun(work, batches)
    gone, stays = asyncio.create_task(batches.do("here", 1)), asyncio.create_task(batches.do("here", 2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    work.gate.set()
    assert (await first, await stays) == (0, 20)
    assert work.given[1:] == [("here", [2])]


async def test_a_batch_has_an_end() -> None:
    work = Work()
    batches = Batches(work, most=2)
    work.gate.set()
    assert await asyncio.gather(*(batches.do("here", n) for n in range(5))) == [0, 10, 20, 30, 40]
    assert [items for _, items in work.given] == [[0, 1], [2, 3], [4]]


async def test_nothing_is_kept_of_a_place_where_nobody_waits() -> None:
    work = Work()
    batches = Batches(work)
    work.gate.set()
    await batches.do("here", 1)
    await eventually(lambda: not batches._waiting and not batches._tasks)
    assert await batches.do("here", 2) == 20
