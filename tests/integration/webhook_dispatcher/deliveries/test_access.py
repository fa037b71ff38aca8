"""Access is asked for at the moment of sending, whatever it was when the subscription was made."""

import pytest

from libs.common.contracts import webhooks
from tests.integration.webhook_dispatcher.world import MODERATOR, POST, PRIVATE, World, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import WebhookSink

BAN = (
    "INSERT INTO space_sanctions (id, space_type, space_id, kind, subject_kind, subject, reason, imposed_by)"
    f" VALUES (gen_random_uuid(), 'post', '{POST}', 'ban', 'account', 'carol', 'spam', 'alice')"
)
HIDE = "UPDATE posts SET hidden = true"
REMOVE = "DELETE FROM posts"


@pytest.mark.parametrize(("change", "code"), [(BAN, "banned"), (HIDE, "not_found"), (REMOVE, "not_found")])
async def test_a_subscriber_who_may_no_longer_see_a_space_is_sent_nothing(
    world: World, sink: WebhookSink, change: str, code: str
) -> None:
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
        await world.sql(change)
        await world.bus.publish(message_posted())
        dead = await world.delivery_in("dead", subscription.id)
        stored = await world.do(webhooks.get_subscription, id=subscription.id)
    reason = f"carol may not receive this event of the space any more ({code})."
    assert (dead.last_error, dead.attempts, sink.received) == (reason, 0, [])
    assert (stored.active, stored.disabled_reason) == (False, reason)
    assert [(row.account, row.kind) for row in await world.sql("SELECT * FROM webhook_notices")] == [
        ("carol", "webhook_disabled")
    ]


async def test_a_retry_is_refused_like_a_first_attempt(world: World, sink: WebhookSink) -> None:
    sink.answer(500)
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
        await world.bus.publish(message_posted())
        await world.delivery_in("pending", subscription.id, attempts=1)
        await world.sql(BAN)
        world.clock.advance(seconds=6)
        dead = await world.delivery_in("dead", subscription.id)
    assert (dead.attempts, len(sink.received)) == (1, 1)


async def test_one_that_wanted_only_what_moderators_did_ends_with_the_role(world: World, sink: WebhookSink) -> None:
    await world.sql(MODERATOR)
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url, account="bob", events=["moderation"])).subscription
        await world.sql("DELETE FROM space_roles")
        payload = {"action": "mute", "subject": "dave", "reason": "private", "moderator": "alice"}
        await world.bus.publish(message_posted(name="moderation.acted", payload=payload, subspace=None))

        async def disabled() -> str | None:
            stored = await world.do(webhooks.get_subscription, "bob", id=subscription.id)
            return str(stored.disabled_reason) if stored.disabled_reason else None

        assert "(forbidden)" in (await eventually(disabled))
    assert not sink.received


async def test_the_owner_of_a_private_document_hears_of_it(world: World, sink: WebhookSink) -> None:
    async with world.dispatcher():
        await world.subscribe(sink.url, account="bob", space_type="document", space_id=PRIVATE)
        await world.bus.publish(message_posted(space_type="document", space_id=PRIVATE))
        (request,) = await sink.wait_for(1)
    assert (request.json["space_type"], request.json["space_id"]) == ("document", "123")


async def test_an_operator_hears_of_any_space(world: World, sink: WebhookSink) -> None:
    async with world.dispatcher():
        await world.subscribe(sink.url, account="olivia", space_type="document", space_id=PRIVATE)
        await world.bus.publish(message_posted(space_type="document", space_id=PRIVATE))
        await sink.wait_for(1)


async def test_a_moderator_who_is_one_no_longer_is_not_sent_what_moderators_did(
    world: World, sink: WebhookSink
) -> None:
    await world.sql(MODERATOR)
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url, account="bob", events=["moderation", "chat"])).subscription
        await world.sql("DELETE FROM space_roles")
        payload = {"action": "mute", "subject": "dave", "reason": "private", "moderator": "alice"}
        await world.bus.publish(message_posted(name="moderation.acted", payload=payload, subspace=None))
        await world.bus.publish(message_posted())
        await sink.wait_for(1)

        async def buried() -> str | None:
            rows = await world.sql(
                "SELECT last_error FROM webhook_deliveries WHERE subscription_id = :id AND status = 'dead'",
                id=subscription.id,
            )
            return rows[0].last_error if rows else None

        assert "(forbidden)" in (await eventually(buried))
        stored = await world.do(webhooks.get_subscription, "bob", id=subscription.id)
        (notice,) = await world.sql("SELECT * FROM webhook_notices")
    assert (stored.active, stored.events) == (True, ["chat"])
    assert "is sent moderation no more" in notice.title
    assert [request.json["event"] for request in sink.received] == ["chat"]
