"""Access is asked for at the moment of sending, whatever it was when the subscription was made."""

import pytest

from tests.integration.webhook_dispatcher.world import POST, PRIVATE, World, message_posted
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
    assert dead.last_error == f"carol may not receive this space's events any more ({code})."
    assert (dead.attempts, sink.received) == (0, [])


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
