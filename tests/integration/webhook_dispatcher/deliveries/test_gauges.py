"""What the operator's gauges show of the queue."""

from prometheus_client import REGISTRY

from libs.common.db.engine import Database
from services.webhook_dispatcher.sending.gauges import Gauges
from tests.integration.webhook_dispatcher.world import World, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import HANG, WebhookSink


def shown(series: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"presence_webhook_{series}", labels)


async def test_the_gauges_show_what_waits_and_what_was_given_up(world: World, sink: WebhookSink) -> None:
    database = Database(world.settings.database_url, "webhook_dispatcher", 1)
    gauges = Gauges(database, world.clock)
    async with WebhookSink() as gone, WebhookSink() as hanging, world.dispatcher(drain_seconds=0):
        sink.answer(500)
        gone.answer(410)
        hanging.answer(HANG)
        for n, endpoint in enumerate((sink, gone, hanging)):
            await world.subscribe(endpoint.url, account=f"account-{n}")
        await world.bus.publish(message_posted())
        await hanging.wait_for(1)
        await eventually(lambda: shown("deliveries", state="in_flight") == 1)

        async def are_recorded() -> bool:
            rows = await world.sql(
                "SELECT 1 FROM webhook_deliveries d JOIN webhook_subscriptions s ON s.id = d.subscription_id"
                " WHERE d.attempts = 1 AND (d.status = 'pending' OR NOT s.active)"
            )
            return len(rows) == 2

        await eventually(are_recorded)
    world.clock.advance(seconds=7)
    await world.sql("UPDATE webhook_deliveries SET next_attempt_at = :due WHERE attempts = 1", due=world.clock())
    world.clock.advance(seconds=2)
    await gauges.measure()
    assert shown("deliveries", state="pending") == 2
    assert shown("deliveries", state="dead") == 1
    assert shown("subscriptions", state="disabled") == 1
    assert shown("subscriptions", state="active") == 2
    assert shown("oldest_due_seconds", endpoints="answering") == 2
    await world.sql("UPDATE webhook_subscriptions SET is_probed = true")
    await gauges.measure()
    await database.stop()
    assert shown("oldest_due_seconds", endpoints="answering") == 0
    assert shown("oldest_due_seconds", endpoints="probed") == 2
