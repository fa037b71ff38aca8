"""`python -m tests.faults.stuck_chat`: the chat service, but it never gets from commit to publish.

Everything is the real thing except that publishing hangs, so that a kill -9 lands exactly between.
"""

import asyncio

from libs.common.bus.rabbit import RabbitBus
from libs.common.contracts.log import LoggedEvent
from libs.common.service import Service, run
from services.chat.app import build
from services.chat.settings import Settings


class StuckBus(RabbitBus):
    async def publish(self, *events: LoggedEvent) -> None:
        print(f"committed {events[0].name}", flush=True)
        await asyncio.Event().wait()


def stuck(settings: Settings) -> Service:
    return build(settings, StuckBus(settings.amqp_url, "stuck chat"))


if __name__ == "__main__":
    run("chat", Settings, stuck)
