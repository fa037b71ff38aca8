"""What is sent again because somebody asked: the same id, whatever the endpoint's state, and none of its health."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from libs.common.clock import now
from libs.common.contracts import webhooks
from libs.common.contracts.webhooks import deliveries as contract
from libs.common.db.redaction import forget_words
from libs.common.errors import INVALID_INPUT, NOT_FOUND, PresenceError
from libs.common.ids import new_id
from services.webhook_dispatcher.redelivery import redeliverer, redeliveries
from tests.integration.webhook_dispatcher.world import World, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import HANG, Reply, WebhookSink


@pytest.fixture
async def running(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(redeliverer, "POLL_SECONDS", 0.02)
    async with world.dispatcher():
        yield world


async def dead_of(world: World, sink: WebhookSink, count: int = 1) -> str:
    """A disabled subscription with so many dead deliveries, whose endpoint works from now on."""
    sink.answer(410)
    subscription = (await world.subscribe(sink.url)).subscription.id
    await world.bus.publish(*(message_posted(seq=n) for n in range(count)))

    async def dead() -> bool:
        is_disabled = not (await world.do(webhooks.get_subscription, id=subscription)).active
        return is_disabled and [one.status for one in await world.deliveries(subscription)] == ["dead"] * count

    await eventually(dead)
    sink.answer(200)
    sink.received.clear()
    return str(subscription)


def lately() -> dict[str, Any]:
    return {"since": now() - timedelta(hours=1), "until": now() + timedelta(seconds=1)}


async def delivered_of(world: World, sink: WebhookSink) -> str:
    """A delivery to dave."""
    subscription = (await world.subscribe(sink.url, account="dave", events=["join"])).subscription.id
    await world.bus.publish(message_posted(name="spaces.member_joined", payload={"session_id": new_id()}))
    return (await world.delivery_of(subscription, "dave")).id


async def left(world: World) -> int:
    return len(await world.sql("SELECT 1 FROM webhook_deliveries WHERE redeliver_at IS NOT NULL"))


async def nothing_left(world: World) -> None:
    async def done() -> bool:
        return await left(world) == 0

    await eventually(done)


async def test_one_delivery_is_sent_again_under_its_id_though_the_endpoint_is_disabled(
    running: World, sink: WebhookSink
) -> None:
    subscription = await dead_of(running, sink)
    (dead,) = await running.deliveries(subscription)
    await running.do(webhooks.redeliver, id=dead.id)
    delivered = await running.delivery_in("delivered", subscription)
    assert [request.webhook_id for request in sink.received] == [dead.webhook_id]
    assert (delivered.id, delivered.attempts, delivered.last_error) == (dead.id, 1, None)
    assert not (await running.do(webhooks.get_subscription, id=subscription)).active


async def test_what_was_delivered_is_sent_again_and_stays_delivered(running: World, sink: WebhookSink) -> None:
    subscription = (await running.subscribe(sink.url)).subscription.id
    await running.bus.publish(message_posted())
    delivery = await running.delivery_in("delivered", subscription)
    sink.answer(410)
    await running.do(webhooks.redeliver, id=delivery.id)
    first, second = await sink.wait_for(2)
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
    await nothing_left(running)
    (after,) = await running.deliveries(subscription)
    assert (after.status, after.last_status_code) == ("delivered", 410)
    assert (await running.do(webhooks.get_subscription, id=subscription)).active


async def test_a_redelivery_that_fails_is_tried_four_times_and_leaves_all_as_it_was(
    running: World, sink: WebhookSink
) -> None:
    subscription = await dead_of(running, sink)
    before = await running.do(webhooks.get_subscription, id=subscription)
    (dead,) = await running.deliveries(subscription)
    sink.answer(500)
    await running.do(webhooks.redeliver, id=dead.id)
    for tries in range(1, 5):
        await sink.wait_for(tries)
        await eventually(partial(attempts_by_hand, running, tries))
        running.clock.advance(hours=1)
    await nothing_left(running)
    (after,) = await running.deliveries(subscription)
    assert (after.status, after.attempts, len(sink.received)) == ("dead", dead.attempts, 4)
    assert await running.do(webhooks.get_subscription, id=subscription) == before


async def attempts_by_hand(world: World, count: int) -> bool:
    return len(await world.sql("SELECT 1 FROM webhook_attempts WHERE by_hand")) == count


async def test_an_endpoint_that_asks_to_wait_is_sent_nothing_else_meanwhile(running: World, sink: WebhookSink) -> None:
    subscription = await dead_of(running, sink, 8)
    sink.answer(Reply(429, {"Retry-After": "120"}))
    await running.do(webhooks.redeliver_range, id=subscription, **lately())
    await eventually(partial(attempts_by_hand, running, redeliverer.OF_SUBSCRIPTION))
    running.clock.advance(seconds=100)
    await running.do(webhooks.redeliver_range, id=subscription, **lately())
    async with WebhookSink() as other:
        await running.do(webhooks.redeliver, "dave", id=await delivered_of(running, other))
        await other.wait_for(2)  # whoever looks for what is due has looked
    assert len(sink.received) == redeliverer.OF_SUBSCRIPTION
    sink.answer(200)
    running.clock.advance(seconds=40)
    await nothing_left(running)
    assert {one.status for one in await running.deliveries(subscription)} == {"delivered"}


async def test_a_range_is_counted_first_and_then_sent_oldest_first(
    running: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redeliveries, "MOST_REDELIVERED", 2)
    subscription = await dead_of(running, sink, 3)
    counted = await running.do(webhooks.redeliver_range, id=subscription, **lately(), dry_run=True)
    assert (counted, sink.received) == (contract.Redelivered(2, 1, True), [])
    asked = await running.do(webhooks.redeliver_range, id=subscription, **lately())
    assert asked == contract.Redelivered(2, 1, False)
    await nothing_left(running)
    assert sorted(request.json["sequence"] for request in sink.received) == [0, 1]


async def test_a_range_holds_what_was_made_in_its_time_and_is_in_its_status(running: World, sink: WebhookSink) -> None:
    subscription = await dead_of(running, sink, 2)
    before = {"since": now() - timedelta(hours=2), "until": now() - timedelta(hours=1)}
    for fields in (before, {**lately(), "status": "delivered"}, {**lately(), "status": "pending"}):
        counted = await running.do(webhooks.redeliver_range, id=subscription, **fields, dry_run=True)
        assert counted.count == 0


async def test_a_range_that_ends_before_it_begins_is_refused(running: World, sink: WebhookSink) -> None:
    subscription = (await running.subscribe(sink.url)).subscription.id
    with pytest.raises(PresenceError) as refused:
        await running.do(webhooks.redeliver_range, id=subscription, since=now(), until=now() - timedelta(hours=1))
    assert refused.value.kind is INVALID_INPUT


async def test_what_happened_while_a_webhook_was_not_active_is_caught_up_with(
    running: World, sink: WebhookSink
) -> None:
    before = message_posted("before it was subscribed", seq=1)
    await running.log(before)
    subscription = (await running.subscribe(sink.url)).subscription.id
    await running.bus.publish(message_posted("sent", seq=2))
    await sink.wait_for(1)
    await running.do(webhooks.change, id=subscription, paused=True)
    other = message_posted(name="spaces.member_joined", payload={"session_id": new_id()}, seq=5)
    missed = [message_posted("one", seq=3), message_posted("two", seq=4)]
    async with WebhookSink() as beside:  # whose webhook shows that all was planned
        await running.subscribe(beside.url, account="dave", events=["chat", "join"])
        for event in (*missed, other):
            await running.log(event)
            await running.bus.publish(event)
        await beside.wait_for(3)
    await running.do(webhooks.change, id=subscription, paused=False)
    asked = {"id": subscription, **lately(), "status": "missed"}
    assert (await running.do(webhooks.redeliver_range, **asked, dry_run=True)).count == 2
    assert (await running.do(webhooks.redeliver_range, **asked)).count == 2
    await sink.wait_for(3)
    await nothing_left(running)
    assert sorted(request.json["sequence"] for request in sink.received) == [2, 3, 4]
    assert {one.status for one in await running.deliveries(subscription)} == {"delivered"}
    assert (await running.do(webhooks.redeliver_range, **asked)).count == 0


async def test_words_that_were_taken_back_are_not_sent_again(running: World, sink: WebhookSink) -> None:
    subscription = (await running.subscribe(sink.url)).subscription.id
    event = message_posted("a secret that slipped out")
    await running.log(event, event.payload["id"])
    await running.bus.publish(event)
    delivery = await running.delivery_in("delivered", subscription)
    async with running.owner.transaction() as connection:
        await forget_words(connection, event.payload["id"])
    await running.do(webhooks.redeliver, id=delivery.id)
    assert (await sink.wait_for(2))[1].json["data"]["message"] is None


async def test_who_lost_access_has_nothing_sent_again(running: World, sink: WebhookSink) -> None:
    subscription = await dead_of(running, sink)
    await running.sql("UPDATE posts SET hidden = true")
    (dead,) = await running.deliveries(subscription)
    await running.do(webhooks.redeliver, id=dead.id)
    await nothing_left(running)
    (after,) = await running.deliveries(subscription)
    assert (after.status, after.last_error, sink.received) == ("dead", "carol may not receive it (not_found).", [])


async def test_a_delivery_of_somebody_else_is_not_found(running: World, sink: WebhookSink) -> None:
    subscription = await dead_of(running, sink)
    (dead,) = await running.deliveries(subscription)
    asked = [{"id": dead.id}, {"id": new_id()}]
    for fields in asked:
        with pytest.raises(PresenceError) as refused:
            await running.do(webhooks.redeliver, "dave", **fields)
        assert refused.value.kind is NOT_FOUND
    with pytest.raises(PresenceError) as refused:
        await running.do(webhooks.redeliver_range, "dave", id=subscription, **lately())
    assert refused.value.kind is NOT_FOUND
    assert await left(running) == 0


async def test_an_account_whose_endpoint_hangs_holds_a_few_slots_of_redelivery_and_nobody_elses(
    running: World, sink: WebhookSink
) -> None:
    async with WebhookSink() as slow:
        hanging = [(await running.subscribe(f"{slow.url}/{n}", account="dave")).subscription.id for n in range(8)]
        mine = await dead_of(running, sink)
        await running.bus.publish(message_posted())
        await slow.wait_for(8 * 2)
        slow.received.clear()
        slow.answer(HANG)
        for subscription in hanging:
            await running.do(webhooks.redeliver_range, "dave", id=subscription, **lately(), status="delivered")
        await slow.wait_for(redeliverer.OF_ACCOUNT)
        await running.do(webhooks.redeliver_range, id=mine, **lately())
        await sink.wait_for(1)
        assert len(slow.received) == redeliverer.OF_ACCOUNT
        slow.release()
        await nothing_left(running)
