"""Endpoints that hang, and those beside them."""

from collections import Counter

from tests.integration.webhook_dispatcher.world import World, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import HANG, Reply, WebhookSink

FOR_EVER = 3600.0  # seconds that an endpoint may take


async def subscribe_many(world: World, sink: WebhookSink, count: int, each: int, first_host: int) -> None:
    """Subscribes as accounts with `each` endpoints, every one at a loopback address of its own."""
    for n in range(count):
        url = f"http://127.0.1.{first_host + n}:{sink.port}/{n}"
        await world.subscribe(url, account=f"account-{first_host + n // each}")


async def test_sixty_endpoints_that_hang_delay_nobody_else(world: World) -> None:
    async with (
        WebhookSink("0.0.0.0") as hanging,
        WebhookSink("0.0.0.0") as well,
        world.dispatcher(webhook_timeout=FOR_EVER),
    ):
        hanging.answer(HANG)
        await subscribe_many(world, hanging, 60, 20, 1)
        await subscribe_many(world, well, 20, 20, 101)
        for n in range(20):
            await world.bus.publish(message_posted(seq=n))
            await well.wait_for(20 * (n + 1))
        assert len(hanging.received) <= 3 * 64
        assert max(Counter(request.path for request in hanging.received).values()) <= 4


async def test_an_endpoint_that_gave_no_answer_is_probed_until_it_answers(world: World, sink: WebhookSink) -> None:
    async def is_probed(expected: bool) -> bool:
        rows = await world.sql("SELECT is_probed FROM webhook_subscriptions")
        return [row.is_probed for row in rows] == [expected]

    sink.answer(HANG, 500)
    async with world.dispatcher(webhook_timeout=1.0):
        await world.subscribe(sink.url)
        await world.bus.publish(message_posted())
        await eventually(lambda: is_probed(True))
        await world.bus.publish(message_posted())
        await eventually(lambda: is_probed(False))


async def test_a_probe_is_one_request_and_the_next_follows_its_end(world: World, sink: WebhookSink) -> None:
    sink.answer(HANG)
    async with world.dispatcher(webhook_timeout=FOR_EVER):
        await world.subscribe(sink.url)
        await world.sql("UPDATE webhook_subscriptions SET is_probed = true")
        for n in range(6):
            await world.bus.publish(message_posted(seq=n))
        async with WebhookSink() as other:
            await world.subscribe(other.url, account="dave")
            await world.bus.publish(message_posted())
            await other.wait_for(1)
        assert len(sink.received) == 1
        sink.answer(Reply(200))
        sink.release()
        await sink.wait_for(7)
