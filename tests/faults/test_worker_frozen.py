"""A worker of the replica that stands still says nothing more: health says that the replica is behind all the same."""

import os
import signal
import time

from tests.support.people import Rest
from tests.support.servers import RunStack
from tests.support.waiting import eventually
from tests.support.whole import process_id

INTERVAL = 2.0  # seconds from one cycle to the next


async def test_a_frozen_worker_is_behind_after_three_intervals_and_current_when_it_goes_on(run_stack: RunStack) -> None:
    settings = {f"PRESENCE_SYNC_{name}INTERVAL_SECONDS": str(INTERVAL) for name in ("", "ACCESS_")}
    async with run_stack(**settings) as stack, Rest(stack.url) as rest:

        async def is_current() -> bool:
            return bool((await rest.ask("GET", "/health"))[1]["sync"]["current"])

        async def is_behind() -> bool:
            return not await is_current()

        await eventually(is_current, seconds=30)
        worker = os.getpgid(process_id(stack, "sync_worker"))
        os.killpg(worker, signal.SIGSTOP)
        frozen_at = time.monotonic()
        try:
            await eventually(is_behind, seconds=30)
            waited = time.monotonic() - frozen_at
            tables = (await rest.ask("GET", "/api/health"))[1]["sync"]["tables"]
        finally:
            os.killpg(worker, signal.SIGCONT)
        assert all(table["lag_seconds"] >= min(waited, 2 * INTERVAL) for table in tables)
        await eventually(is_current, seconds=30)
