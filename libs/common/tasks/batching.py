"""Does work for the same place together: one transaction for all that wait.

The first item is worked on at once; what comes meanwhile is the next batch. After a batch of several the next
one waits for as long as that took, at most `LONGEST_PAUSE`: under load batches grow before a core is full, and where
one person writes nobody waits. Everybody gets the outcome of their own item.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context

from libs.common.errors import PresenceError

MOST = 100  # items of a batch, where a user does not say
LONGEST_PAUSE = 0.020  # seconds


class Batches[Place: Hashable, Item, Outcome]:
    """`work` is given a place and its items, and gives an outcome or a `PresenceError` for each, in their order.

    It runs once at a time for a place. If it raises a `PresenceError`, that is everybody's; if it fails in any other
    way, each item is tried alone, so that only those pay whose fault it is. No item is in a batch that began before it.
    """

    def __init__(
        self, work: Callable[[Place, Sequence[Item]], Awaitable[Sequence[Outcome | PresenceError]]], most: int = MOST
    ) -> None:
        self._work = work
        self._most = most
        self._waiting: dict[Place, list[_Waiting[Item, Outcome]]] = {}  # a key for each place that is worked on
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, place: Place, item: Item) -> Outcome:
        """Returns the outcome of `item`, as soon as its batch is done. Raises what `work` gave for it."""
        waiting = _Waiting[Item, Outcome](item)
        if place in self._waiting:
            self._waiting[place].append(waiting)
        else:
            self._waiting[place] = [waiting]
            task = asyncio.create_task(self._run(place), context=Context())  # not the first one's log fields
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await waiting.outcome

    async def _run(self, place: Place) -> None:
        """Works until nobody waits any more. Items whose caller has gone meanwhile are left out."""
        clock = asyncio.get_running_loop().time
        try:
            while waiting := self._waiting[place]:
                batch, self._waiting[place] = waiting[: self._most], waiting[self._most :]
                began = clock()
                await self._do_all(place, [waiter for waiter in batch if not waiter.outcome.done()])
                if len(batch) > 1:
                    await asyncio.sleep(min(clock() - began, LONGEST_PAUSE))
        finally:
            for left in self._waiting.pop(place):  # only if this was cancelled
                left.outcome.cancel()

    async def _do_all(self, place: Place, batch: "Sequence[_Waiting[Item, Outcome]]") -> None:
        try:
            outcomes = await self._work(place, [waiter.item for waiter in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, PresenceError):
                for waiter in batch:
                    await self._do_all(place, [waiter])
            else:
                for waiter in batch:
                    waiter.settle(error)
        else:
            for waiter, outcome in zip(batch, outcomes, strict=True):
                waiter.settle(outcome)


class _Waiting[Item, Outcome]:
    def __init__(self, item: Item) -> None:
        self.item = item
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: Outcome | Exception) -> None:
        if self.outcome.done():  # the caller is gone
            return
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)
