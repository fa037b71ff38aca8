"""A subscription that ends while very much is pending for it."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from libs.common.contracts import webhooks
from libs.common.contracts.webhooks import SubscriptionId
from libs.common.db.engine import Database
from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.ids import new_id
from services.webhook_dispatcher import repository
from services.webhook_dispatcher.app import BY_INDEX
from services.webhook_dispatcher.sending import endings, queue_repository, recorder
from tests.integration.webhook_dispatcher.world import World, caller, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import HANG, WebhookSink

PENDING = 50_000
FILL = """
INSERT INTO webhook_deliveries
  (id, subscription_id, event_id, webhook_id, event, sequence, body, actor, next_attempt_at)
SELECT gen_random_uuid(), :subscription, gen_random_uuid(), 'msg_' || n, 'chat', n, '{}', 'account:alice', :due
FROM generate_series(1, :count) n
"""


async def fill(world: World, subscription_id: str, count: int = PENDING) -> None:
    await world.sql(FILL, subscription=subscription_id, due=world.clock(), count=count)


async def left(world: World, status: str) -> int:
    rows = await world.sql("SELECT count(*) FROM webhook_deliveries WHERE status = :status", status=status)
    return int(rows[0][0])


async def test_gone_is_obeyed_at_once_and_all_that_is_pending_is_buried(world: World, sink: WebhookSink) -> None:
    sink.answer(410)
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
        await fill(world, subscription.id)
        await world.bus.publish(message_posted())

        async def is_disabled() -> bool:
            rows = await world.sql("SELECT active FROM webhook_subscriptions")
            return not bool(rows[0].active)

        await eventually(is_disabled)
        assert len(sink.received) <= 8, "sent on after the endpoint was gone"

        async def is_buried() -> bool:
            return await left(world, "pending") == 0

        await eventually(is_buried)
    reasons = await world.sql("SELECT last_error, count(*) FROM webhook_deliveries WHERE attempts = 0 GROUP BY 1")
    assert [row.last_error for row in reasons] == ["The endpoint answered 410 Gone."]
    assert len(await world.sql("SELECT 1 FROM webhook_attempts")) == len(sink.received)
    assert await left(world, "dead") == PENDING + 1


async def forget_what_is_pending(world: World) -> None:
    """Gives PostgreSQL the statistics of a log in which all was delivered, as it has them for as long as what is new
    is less than a tenth."""
    await world.sql(FILL, subscription=new_id(), due=world.clock(), count=PENDING)
    await world.sql("UPDATE webhook_deliveries SET status = 'delivered', next_attempt_at = NULL, finished_at = now()")
    await world.sql("ANALYZE webhook_deliveries")


async def test_a_batch_takes_no_longer_where_statistics_know_of_nothing_pending(
    world: World, sink: WebhookSink
) -> None:
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
    await world.sql("UPDATE webhook_subscriptions SET active = false, is_given_up = true, disabled_reason = 'no'")
    await forget_what_is_pending(world)
    await fill(world, subscription.id)
    for options in ({}, BY_INDEX):
        database = Database(world.settings.database_url, "webhook_dispatcher", 1, options=options)
        async with database.transaction() as connection:
            assert not await repository.bury_some(connection, subscription.id, world.clock(), endings.BATCH)
        async with database.transaction() as connection:
            assert await repository.remove_deliveries(connection, subscription.id, endings.BATCH) == endings.BATCH
        await database.stop()


async def test_a_claim_reads_no_more_than_it_takes_however_much_is_pending(world: World, sink: WebhookSink) -> None:
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
    await fill(world, subscription.id)
    await world.sql("ANALYZE webhook_deliveries")
    shares = {"ids": [subscription.id], "first": [4], "retries": [4]}
    asked = {**shares, "moment": world.clock(), "until": world.clock(), "answered": []}
    statement = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {queue_repository._CLAIM.text}")
    database = Database(world.settings.database_url, "webhook_dispatcher", 1, options=BY_INDEX)
    async with database.transaction() as connection:
        plan = (await connection.execute(statement, asked)).scalar_one()[0]["Plan"]
    await database.stop()
    assert max(node["Actual Rows"] for node in nodes(plan)) < 100


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan's node with all below it."""
    return [plan, *(below for part in plan.get("Plans", []) for below in nodes(part))]


async def test_a_batch_that_takes_too_long_is_tried_again_smaller_and_holds_up_no_other(
    world: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury_some, asked = repository.bury_some, []

    async def bury_few(connection: Any, subscription_id: str, moment: datetime, limit: int) -> bool:
        asked.append((subscription_id, limit))
        if subscription_id == never.id or limit > 100:
            raise PresenceError(UNAVAILABLE, "The database took too long for this.")
        return await bury_some(connection, subscription_id, moment, limit)

    monkeypatch.setattr(repository, "bury_some", bury_few)
    sink.answer(410)
    async with world.dispatcher(), WebhookSink() as other:
        other.answer(410)
        never, subscription = [(await world.subscribe(url)).subscription for url in (sink.url, other.url)]
        for one in (never, subscription):
            await fill(world, one.id, 300)

        async def is_buried() -> bool:
            statement = "SELECT 1 FROM webhook_deliveries WHERE subscription_id = :id AND status = 'pending'"
            return not await world.sql(statement, id=subscription.id)

        await eventually(is_buried)
    assert (never.id, endings.SMALLEST) in asked


async def test_disabling_waits_for_nothing_that_is_pending(
    world: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(*_: object) -> bool:
        raise PresenceError(UNAVAILABLE, "The database took too long for this.")

    monkeypatch.setattr(repository, "bury_some", cut_off)
    sink.answer(410)
    async with world.dispatcher():
        await world.subscribe(sink.url)
        await world.bus.publish(message_posted())

        async def is_disabled() -> bool:
            rows = await world.sql("SELECT active FROM webhook_subscriptions")
            return not bool(rows[0].active)

        await eventually(is_disabled)


async def test_deleting_is_obeyed_at_once_and_all_that_is_left_is_removed(world: World, sink: WebhookSink) -> None:
    sink.answer(HANG)
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
        await fill(world, subscription.id)
        await world.bus.publish(message_posted())
        await sink.wait_for(4)
        await world.bus.call(webhooks.unsubscribe, SubscriptionId(subscription.id), caller("carol"))
        sink.release()

        async def is_gone() -> bool:
            return not await world.sql("SELECT 1 FROM webhook_deliveries LIMIT 1")

        await eventually(is_gone)
        assert len(sink.received) == 4, "sent on after it was deleted"


async def test_what_follows_from_an_answer_may_fail_and_the_attempt_is_recorded(
    world: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(repository, "disable", fail)
    sink.answer(410)
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
        await world.bus.publish(message_posted())
        dead = await world.delivery_in("dead", subscription.id)
    assert (dead.attempts, dead.last_status_code) == (1, 410)


async def test_one_attempt_that_cannot_be_recorded_takes_no_other_with_it(
    world: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = repository.record

    async def refuse_one(connection: object, attempts: list[repository.Made]) -> None:
        if any(made.job.body == b"{}" for made in attempts):
            raise RuntimeError("cannot be recorded")
        await record(connection, attempts)  # type: ignore[arg-type]

    monkeypatch.setattr(repository, "record", refuse_one)
    sink.answer(HANG)
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
        await fill(world, subscription.id, 1)
        for n in range(3):
            await world.bus.publish(message_posted(seq=n))
        await sink.wait_for(4)
        sink.release()

        async def are_recorded() -> bool:
            return await left(world, "delivered") == 3

        await eventually(are_recorded)
        assert await left(world, "pending") == 1


async def test_what_was_answered_is_not_sent_again_however_long_it_cannot_be_recorded(
    world: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object) -> None:
        raise PresenceError(UNAVAILABLE, "Too much is asked at once; try again.")

    monkeypatch.setattr(recorder, "AGAIN_SECONDS", 0.1)
    async with world.dispatcher(), WebhookSink() as other:
        subscription = (await world.subscribe(sink.url)).subscription
        with monkeypatch.context() as crowded:
            crowded.setattr(repository, "record", busy)
            await world.bus.publish(message_posted())
            await sink.wait_for(1)
            world.clock.advance(minutes=10)  # its lease is over
            await world.subscribe(other.url, account="dave", space_id="bob/sculpture-hall")
            for n in range(4):
                await world.bus.publish(message_posted(space_id="bob/sculpture-hall", seq=n))
                await other.wait_for(n + 1)
        delivered = await world.delivery_in("delivered", subscription.id)
    assert (delivered.attempts, len(sink.received), len(other.received)) == (1, 1, 4)
