"""The life of an endpoint that fails: its owner is told, told, it is disabled and told, re-enabled, caught up with."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from libs.common.clock import now
from libs.common.contracts import webhooks
from libs.common.contracts.webhooks import Subscription
from services.webhook_dispatcher import health_watch
from services.webhook_dispatcher.redelivery import redeliverer
from tests.integration.webhook_dispatcher.world import World, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import WebhookSink


@pytest.fixture
async def running(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(health_watch, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(redeliverer, "POLL_SECONDS", 0.02)
    async with world.dispatcher():
        yield world


async def notices(world: World) -> list[Any]:
    return list(await world.sql("SELECT * FROM webhook_notices ORDER BY id"))


async def told(world: World, *kinds: str) -> Any:
    """The last notice, as soon as these were left, and no others."""

    async def found() -> bool:
        return [row.kind for row in await notices(world)] == list(kinds)

    await eventually(found)
    return (await notices(world))[-1]


async def stored(world: World, subscription: str) -> Subscription:
    found: Subscription = await world.do(webhooks.get_subscription, id=subscription)
    return found


async def attempted(world: World, subscription: str, attempts: int) -> None:
    await world.delivery_in("dead" if attempts == 10 else "pending", subscription, attempts=attempts)


async def test_the_whole_life_of_a_failing_endpoint(running: World, sink: WebhookSink) -> None:
    sink.answer(500)
    subscription = (await running.subscribe(sink.url)).subscription.id
    began = running.clock()
    await running.bus.publish(message_posted("first", seq=1))
    for attempts in range(1, 4):
        await attempted(running, subscription, attempts)
        assert await notices(running) == []
        running.clock.advance(minutes=45)
    notice = await told(running, "webhook_failing")
    assert (notice.account, notice.space_id, notice.host) == ("carol", "alice/my-360-photo", "127.0.0.1")
    assert (notice.link, "HTTP 500." in notice.title) == (f"/webhooks#{subscription}", True)
    since = (await stored(running, subscription)).failing_since
    assert since
    assert abs(since - began) < timedelta(milliseconds=2)

    for attempts, hours in ((5, 3), (6, 6), (7, 12), (8, 16)):
        running.clock.advance(hours=hours)
        await attempted(running, subscription, attempts)
    running.clock.moment = began + timedelta(days=4, minutes=1)
    assert "unless it answers" in (await told(running, "webhook_failing", "webhook_ends_soon")).title
    assert (await stored(running, subscription)).active
    await running.bus.publish(message_posted("second", seq=2))
    await planned(running, subscription, 2)  # what is planned once the endpoint is disabled is missed, not dead
    running.clock.moment = began + timedelta(days=5, minutes=1)
    notice = await told(running, "webhook_failing", "webhook_ends_soon", "webhook_disabled")
    after = await stored(running, subscription)
    assert (after.active, after.disabled_reason) == (False, "It only failed for 5 days.")
    assert after.disabled_reason in notice.title
    await eventually(lambda: all_dead(running, subscription, 2))
    missed = message_posted("missed", seq=3)
    await running.log(missed)
    await running.bus.publish(missed)

    await catch_up(running, sink, subscription)
    assert sorted(request.json["sequence"] for request in sink.received) == [1, 2, 3]
    assert len(await notices(running)) == 3


async def planned(world: World, subscription: str, count: int) -> None:
    async def are_all() -> bool:
        return len(await world.deliveries(subscription)) == count

    await eventually(are_all)


async def all_dead(world: World, subscription: str, count: int) -> bool:
    return [one.status for one in await world.deliveries(subscription)] == ["dead"] * count


async def catch_up(world: World, sink: WebhookSink, subscription: str) -> None:
    """The endpoint works again, and its owner has it sent what it did not get."""
    sink.answer(200)
    sink.received.clear()
    again = await world.do(webhooks.change, id=subscription, paused=False)
    assert (again.active, again.failing_since, again.disabled_reason) == (True, None, None)
    for status, count in (("dead", 2), ("missed", 1)):
        asked: dict[str, Any] = {
            "id": subscription,
            "since": now() - timedelta(hours=1),
            "until": now(),
            "status": status,
        }
        assert (await world.do(webhooks.redeliver_range, **asked)).count == count
    await sink.wait_for(3)


async def test_a_success_ends_the_failing_and_its_owner_is_told_of_the_next_one(
    running: World, sink: WebhookSink
) -> None:
    subscription = (await running.subscribe(sink.url)).subscription.id

    async def healthy() -> bool:
        return (await stored(running, subscription)).failing_since is None

    for n in range(2):
        sink.answer(500)
        await running.bus.publish(message_posted())
        for attempts in range(1, 5):
            await attempted(running, subscription, attempts)
            running.clock.advance(hours=1)
        await told(running, *["webhook_failing"] * (n + 1))
        sink.answer(200)
        running.clock.advance(hours=4)
        await eventually(healthy)


async def test_failures_that_are_close_together_count_as_one(running: World, sink: WebhookSink) -> None:
    sink.answer(500)
    subscription = (await running.subscribe(sink.url)).subscription.id
    for _ in range(5):
        await running.bus.publish(message_posted())
    await sink.wait_for(5)
    await eventually(lambda: marks(running))
    await running.sql("UPDATE webhook_deliveries SET status = 'dead', next_attempt_at = NULL")
    assert await marks(running) == 1
    running.clock.advance(days=6)
    sink.answer(200)
    await running.bus.publish(message_posted())
    await running.delivery_in("delivered", subscription)
    assert (await stored(running, subscription)).active


async def marks(world: World) -> int:
    ((number,),) = await world.sql("SELECT failing_marks FROM webhook_subscriptions")
    return int(number)


async def test_a_410_is_told(running: World, sink: WebhookSink) -> None:
    sink.answer(410)
    await running.subscribe(sink.url)
    await running.bus.publish(message_posted())
    assert "410 Gone" in (await told(running, "webhook_disabled")).title


async def test_redeliveries_by_hand_say_nothing_of_an_endpoints_health(running: World, sink: WebhookSink) -> None:
    subscription = (await running.subscribe(sink.url)).subscription.id
    await running.bus.publish(message_posted())
    delivery = await running.delivery_in("delivered", subscription)
    sink.answer(500)
    await running.do(webhooks.redeliver, id=delivery.id)

    async def recorded() -> bool:
        return bool(await running.sql("SELECT 1 FROM webhook_attempts WHERE by_hand"))

    await eventually(recorded)
    assert (await stored(running, subscription)).failing_since is None
    assert await notices(running) == []
