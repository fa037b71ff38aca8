"""A process may die anywhere between claiming a delivery and recording it."""

import asyncio
from typing import Any

import pytest

from services.webhook_dispatcher import repository
from services.webhook_dispatcher.delivery import LEASE_MARGIN
from tests.integration.webhook_dispatcher.world import World, message_posted
from tests.support.webhook_sink import HANG, Reply, WebhookSink

_LEASE = {"seconds": 15 + LEASE_MARGIN.total_seconds() + 1}


async def test_a_delivery_sent_but_not_recorded_is_sent_again_under_the_same_id(
    world: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: Any) -> None:
        raise OSError("killed")

    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
        with monkeypatch.context() as dying:
            dying.setattr(repository, "record", die)
            await world.bus.publish(message_posted())
            await sink.wait_for(1)
            await world.delivery_in("pending", subscription.id)
    await _resent_once(world, sink, subscription.id)


async def test_a_delivery_under_way_when_the_process_ended_is_sent_again(world: World, sink: WebhookSink) -> None:
    sink.answer(HANG, 200)
    async with world.dispatcher(drain_seconds=0):
        subscription = (await world.subscribe(sink.url)).subscription
        await world.bus.publish(message_posted())
        await sink.wait_for(1)
    await _resent_once(world, sink, subscription.id)


async def test_a_process_that_is_told_to_stop_sees_through_what_it_began(world: World, sink: WebhookSink) -> None:
    sink.answer(HANG)
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
        await world.bus.publish(message_posted())
        await sink.wait_for(1)
        asyncio.get_running_loop().call_soon(sink.release)  # when it is stopping already
    rows = await world.sql("SELECT status FROM webhook_deliveries WHERE subscription_id = :id", id=subscription.id)
    assert [row.status for row in rows] == ["delivered"]


@pytest.mark.parametrize(("late", "again"), [(200, 500), (500, 200)])
async def test_of_two_processes_that_sent_the_same_the_one_that_was_answered_well_counts(
    world: World, sink: WebhookSink, late: int, again: int
) -> None:
    """The first was only slow: when its answer comes, its lease has run out and the second has sent it too."""
    sink.answer(Reply(late, hang=True), again)
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
        await world.bus.publish(message_posted())
        await sink.wait_for(1)
        world.clock.advance(**_LEASE)
        await world.delivery_in("delivered" if again == 200 else "pending", subscription.id, attempts=1)
        sink.release()
        delivered = await world.delivery_in("delivered", subscription.id, attempts=2)
    assert (delivered.next_attempt_at, delivered.last_status_code, delivered.last_error) == (None, 200, None)


async def _resent_once(world: World, sink: WebhookSink, subscription_id: str) -> None:
    async with world.dispatcher():
        await world.subscribe(f"{sink.url}/other", account="dave", events=["join"])
        joined = {"session_id": "s", "user_account": "alice", "guest": False, "display_name": "alice"}
        await world.bus.publish(message_posted(name="spaces.member_joined", payload=joined))
        await sink.wait_for(1, lambda request: request.path.endswith("other"))
        assert len(sink.received) == 2, "sent again before its lease ran out"
        world.clock.advance(**_LEASE)
        delivered = await world.delivery_in("delivered", subscription_id)
    first, again = [request for request in sink.received if request.path == "/hook"]
    assert first.webhook_id == again.webhook_id == delivered.webhook_id
    assert first.body == again.body
    assert delivered.attempts == 1
    rows = await world.sql("SELECT status_code FROM webhook_attempts WHERE delivery_id = :id", id=delivered.id)
    assert [row.status_code for row in rows] == [200]
