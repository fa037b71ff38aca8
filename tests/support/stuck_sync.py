"""`python -m tests.support.stuck_sync`: the sync worker, but it never gets from commit to publish.

Everything is the real thing except that publishing hangs, so that a kill -9 lands exactly between.
"""

import asyncio

from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.contracts.log import LoggedEvent
from libs.common.service import Service, run
from services.sync_worker.app import build
from services.sync_worker.settings import Settings


class StuckBus(MemoryBus):
    async def publish(self, *events: LoggedEvent) -> None:
        print(f"committed {events[0].name}", flush=True)
        await asyncio.Event().wait()


def stuck(settings: Settings) -> Service:
    return build(settings, StuckBus(MemoryBroker()))


if __name__ == "__main__":
    run("sync_worker", Settings, stuck)
