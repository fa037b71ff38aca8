"""The log of deliveries: filtered, paged, and each with what was sent and what came back."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from libs.common.clock import now
from libs.common.contracts import webhooks
from libs.common.db.redaction import forget_words
from libs.common.errors import INVALID_INPUT, NOT_FOUND, PresenceError
from libs.common.ids import new_id
from tests.integration.webhook_dispatcher.world import World, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import Reply, WebhookSink


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    async with world.dispatcher():
        yield world


async def listed(world: World, subscription: str, **asked: Any) -> list[int]:
    page = await world.do(webhooks.list_deliveries, id=subscription, **asked)
    return [delivery.sequence for delivery in page.deliveries]


async def test_filters_hold_together_and_pages_go_on_within_them(running: World, sink: WebhookSink) -> None:
    subscription = (await running.subscribe(sink.url, events=["chat", "join"])).subscription.id
    for seq in range(6):
        joined: dict[str, Any] = (
            {"name": "spaces.member_joined", "payload": {"session_id": new_id()}} if seq % 2 else {}
        )
        await running.bus.publish(message_posted(seq=seq, **joined))
        await sink.wait_for(seq + 1)
    await eventually(lambda: every_one_is(running, subscription, "delivered", 6))
    await running.sql("UPDATE webhook_deliveries SET status = 'dead' WHERE sequence < 4")
    assert await listed(running, subscription, event="join") == [5, 3, 1]
    assert await listed(running, subscription, status="dead", event="chat") == [2, 0]
    first = await running.do(webhooks.list_deliveries, id=subscription, status="dead", limit=3)
    assert await listed(running, subscription, status="dead", limit=3, cursor=first.next_cursor) == [0]
    assert await listed(running, subscription, since=now() - timedelta(minutes=5), until=now()) == [5, 4, 3, 2, 1, 0]
    assert await listed(running, subscription, since=now() + timedelta(minutes=5)) == []
    assert await listed(running, subscription, until=now() - timedelta(minutes=5)) == []


async def every_one_is(world: World, subscription: str, status: str, count: int) -> bool:
    return [one.status for one in await world.deliveries(subscription)] == [status] * count


async def test_an_event_that_there_is_not_is_refused(running: World, sink: WebhookSink) -> None:
    subscription = (await running.subscribe(sink.url)).subscription.id
    with pytest.raises(PresenceError) as refused:
        await listed(running, subscription, event="chats")
    assert refused.value.kind is INVALID_INPUT


async def test_a_delivery_shows_its_body_and_every_attempt(running: World, sink: WebhookSink) -> None:
    sink.answer(Reply(500, body=b"the database is locked"), 200)
    subscription = (await running.subscribe(sink.url)).subscription.id
    await running.bus.publish(message_posted())
    pending = await running.delivery_in("pending", subscription, attempts=1)
    running.clock.advance(seconds=6)
    delivered = await running.delivery_in("delivered", subscription)
    shown = await running.do(webhooks.get_delivery, id=subscription, delivery=delivered.id)
    assert shown.delivery == delivered
    assert shown.body.encode() == sink.received[0].body
    first, second = shown.attempts
    assert (first.status_code, first.error, first.answer) == (500, "HTTP 500.", "the database is locked")
    assert first.next_attempt_at == pending.next_attempt_at
    assert (second.status_code, second.error, second.next_attempt_at, second.by_hand) == (200, None, None, False)


async def test_the_log_shows_no_words_that_were_taken_back(running: World, sink: WebhookSink) -> None:
    subscription = (await running.subscribe(sink.url)).subscription.id
    event = message_posted("a secret that slipped out")
    await running.log(event, event.payload["id"])
    await running.bus.publish(event)
    delivery = await running.delivery_in("delivered", subscription)
    async with running.owner.transaction() as connection:
        await forget_words(connection, event.payload["id"])
    shown = await running.do(webhooks.get_delivery, id=subscription, delivery=delivery.id)
    assert "a secret" not in shown.body


async def test_who_lost_access_sees_no_body_any_more(running: World, sink: WebhookSink) -> None:
    subscription = (await running.subscribe(sink.url)).subscription.id
    await running.bus.publish(message_posted())
    delivery = await running.delivery_in("delivered", subscription)
    await running.sql("UPDATE posts SET hidden = true")
    shown = await running.do(webhooks.get_delivery, id=subscription, delivery=delivery.id)
    assert (shown.body, len(shown.attempts)) == (None, 1)


async def test_the_last_day_is_counted_by_status(running: World, sink: WebhookSink) -> None:
    sink.answer(200, 500)
    subscription = (await running.subscribe(sink.url)).subscription.id
    await running.bus.publish(message_posted())
    await running.delivery_in("delivered", subscription)
    await running.bus.publish(message_posted())
    await running.delivery_in("pending", subscription, attempts=1)
    counted = await running.do(webhooks.count_deliveries, id=subscription)
    assert (counted.pending, counted.delivered, counted.dead) == (1, 1, 0)
    running.clock.advance(days=2)
    assert (await running.do(webhooks.count_deliveries, id=subscription)).delivered == 0


async def test_the_log_of_somebody_else_is_not_found(running: World, sink: WebhookSink) -> None:
    mine = (await running.subscribe(sink.url)).subscription.id
    other = (await running.subscribe(sink.url, account="dave")).subscription.id
    await running.bus.publish(message_posted())
    delivery = (await running.delivery_in("delivered", mine)).id
    for who, subscription in (("dave", mine), ("dave", other), ("carol", other)):
        with pytest.raises(PresenceError) as refused:
            await running.do(webhooks.get_delivery, who, id=subscription, delivery=delivery)
        assert refused.value.kind is NOT_FOUND
    with pytest.raises(PresenceError) as refused:
        await running.do(webhooks.count_deliveries, "dave", id=mine)
    assert refused.value.kind is NOT_FOUND
