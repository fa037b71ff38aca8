"""`python -m services.webhook_dispatcher` as it runs in earnest: a process, RabbitMQ, kill -9."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator

import pytest

from libs.common.bus.rabbit import RabbitBus
from libs.common.errors import PresenceError
from tests.integration.webhook_dispatcher.world import World, message_posted
from tests.support.servers import as_service
from tests.support.waiting import eventually
from tests.support.webhook_sink import HANG, WebhookSink


@contextlib.asynccontextmanager
async def bus_of(amqp_url: str, service: str) -> AsyncIterator[RabbitBus]:
    bus = RabbitBus(as_service(amqp_url, service), "test")
    await bus.start()
    yield bus
    await bus.stop()


@pytest.fixture
async def bus(amqp_url: str) -> AsyncIterator[RabbitBus]:
    """An edge's."""
    async with bus_of(amqp_url, "gateway") as bus:
        yield bus


@contextlib.asynccontextmanager
async def dispatcher(world: World, amqp_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, killed at the end if it still runs. Its lease is 6 s."""
    environment = {
        "PATH": os.environ["PATH"],
        "PRESENCE_DATABASE_URL": world.settings.database_url,
        "PRESENCE_AMQP_URL": as_service(amqp_url, "webhook_dispatcher"),
        "PRESENCE_SECRET_KEY": world.settings.secret_key,
        "PRESENCE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "PRESENCE_WEBHOOK_TIMEOUT_SECONDS": "1",
        "PRESENCE_WEBHOOK_PING": "false",
    }
    command = (sys.executable, "-m", "services.webhook_dispatcher")
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_process_killed_while_it_sends_leaves_the_delivery_to_the_next(
    world: World, sink: WebhookSink, bus: RabbitBus, amqp_url: str
) -> None:
    sink.answer(HANG, 200)
    over_rabbit = World(world.settings, world.broker, bus, world.owner, world.clock)

    async def subscribed() -> str | None:
        with contextlib.suppress(PresenceError):  # it is still starting
            return (await over_rabbit.subscribe(sink.url, client_message_id="key-1")).subscription.id
        return None

    async with dispatcher(world, amqp_url) as process:
        subscription_id = await eventually(subscribed)
        async with bus_of(amqp_url, "chat") as publisher:
            await eventually(lambda: publisher.ready)
            await publisher.publish(message_posted())
        (first,) = await sink.wait_for(1)
        process.kill()
    async with dispatcher(world, amqp_url) as process:
        first, again = await sink.wait_for(2)
        delivered = await over_rabbit.delivery_in("delivered", subscription_id)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert (again.webhook_id, again.body) == (first.webhook_id, first.body)
    assert (delivered.webhook_id, delivered.attempts) == (first.webhook_id, 1)
