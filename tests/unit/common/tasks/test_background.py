"""Work that repeats: a failure costs one time, whatever it was."""

import asyncio

from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.tasks.background import Background
from tests.support.waiting import eventually


async def test_work_that_fails_is_done_again_until_the_end() -> None:
    background, outcomes = Background(), iter([PresenceError(UNAVAILABLE), ValueError("broken")])
    done: list[int] = []

    async def work() -> None:
        done.append(len(done))
        if error := next(outcomes, None):
            raise error

    background.every(0.001, work)
    await eventually(lambda: len(done) >= 4)
    assert background.runs
    await background.end()
    count = len(done)
    await asyncio.sleep(0)
    assert (background.runs, len(done)) == (False, count)
