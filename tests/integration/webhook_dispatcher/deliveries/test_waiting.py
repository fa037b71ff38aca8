"""Endpoints that ask to be left alone for a while."""

from datetime import timedelta

import pytest

from tests.integration.webhook_dispatcher.world import World, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import Reply, WebhookSink


@pytest.mark.parametrize("status", [429, 503, 500])
async def test_an_endpoint_that_asks_to_wait_is_sent_nothing_until_then(
    world: World, sink: WebhookSink, status: int
) -> None:
    """All that is pending waits, not only what was answered; then it comes, and no attempt was used up."""
    sink.answer(Reply(status, {"Retry-After": "120"}))
    async with world.dispatcher(), WebhookSink() as other:
        subscription = (await world.subscribe(sink.url)).subscription
        await world.subscribe(other.url, account="dave")
        for n in range(40):
            await world.bus.publish(message_posted(seq=n))
        await other.wait_for(40)

        async def is_paused() -> bool:
            rows = await world.sql("SELECT paused_until FROM webhook_subscriptions WHERE id = :id", id=subscription.id)
            return bool(rows[0].paused_until == world.clock() + timedelta(seconds=120))

        await eventually(is_paused)
        asked = len(sink.received)
        assert asked <= 8
        sink.answer(200)
        world.clock.advance(seconds=119)
        await world.bus.publish(message_posted(seq=40))
        await other.wait_for(41)
        assert len(sink.received) == asked
        world.clock.advance(seconds=2)
        await sink.wait_for(asked + 41)
        attempts = await world.sql(
            "SELECT max(attempts - excused) AS used FROM webhook_deliveries WHERE subscription_id = :id",
            id=subscription.id,
        )
        assert attempts[0].used <= 1


async def test_an_endpoint_that_asks_to_wait_for_long_loses_nothing_in_a_day(world: World, sink: WebhookSink) -> None:
    sink.answer(503)
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
        await world.bus.publish(message_posted())
        for attempts in range(1, 15):
            await world.delivery_in("pending", subscription.id, attempts=attempts)
            world.clock.advance(hours=1)
        sink.answer(200)
        delivered = await world.delivery_in("delivered", subscription.id)
    assert delivered.attempts >= 15
