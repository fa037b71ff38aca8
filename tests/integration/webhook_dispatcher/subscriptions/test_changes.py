"""A subscription that is changed keeps its id, its secrets and its history."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook as Library

from libs.common.contracts import webhooks
from libs.common.errors import CONFLICT, FORBIDDEN, INVALID_INPUT, NOT_FOUND, ErrorCode, PresenceError
from tests.integration.webhook_dispatcher.world import MODERATOR, World, message_posted
from tests.support.webhook_sink import Received, WebhookSink

URL = "https://myapp.com/webhook"
SECRET = "another webhook secret"


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    async with world.dispatcher():
        yield world


async def refusal(attempt: Any) -> ErrorCode:
    with pytest.raises(PresenceError) as refused:
        await attempt
    return refused.value.kind


def verifies(secret: str | None, request: Received) -> bool:
    """Whether one of the signatures is by `secret`, whatever the time."""
    moment = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    signature = Library(secret or "").sign(request.webhook_id, moment, request.body.decode())
    return signature in request.headers["webhook-signature"].split()


async def test_events_go_to_the_changed_url_under_the_same_secret(running: World, sink: WebhookSink) -> None:
    made = await running.subscribe(URL)
    changed = await running.do(webhooks.change, id=made.subscription.id, webhook_url=sink.url, events=["join", "chat"])
    assert (changed.id, changed.webhook_url, changed.events) == (made.subscription.id, sink.url, ["join", "chat"])
    await running.bus.publish(message_posted())
    (request,) = await sink.wait_for(1)
    assert verifies(made.secret, request)


async def test_what_is_pending_waits_out_a_pause(running: World, sink: WebhookSink) -> None:
    sink.answer(500, 200)
    made = (await running.subscribe(sink.url)).subscription
    await running.bus.publish(message_posted())
    await running.delivery_in("pending", made.id, attempts=1)
    paused = await running.do(webhooks.change, id=made.id, paused=True)
    assert (paused.active, paused.paused, paused.disabled_reason) == (False, True, None)
    running.clock.advance(hours=1)
    await running.bus.publish(message_posted("missed"))
    again = await running.do(webhooks.change, id=made.id, paused=False)
    assert (again.active, again.paused) == (True, False)
    await running.delivery_in("delivered", made.id)
    assert len(await running.deliveries(made.id)) == 1
    assert len(sink.received) == 2


async def test_one_that_was_disabled_works_again_with_its_id_secret_and_history(
    running: World, sink: WebhookSink
) -> None:
    sink.answer(410, 200)
    made = await running.subscribe(sink.url)
    await running.bus.publish(message_posted())
    await running.delivery_in("dead", made.subscription.id)
    again = await running.do(webhooks.change, id=made.subscription.id, paused=False)
    assert (again.active, again.disabled_reason) == (True, None)
    await running.bus.publish(message_posted())
    assert verifies(made.secret, (await sink.wait_for(2))[1])
    await running.delivery_in("delivered", made.subscription.id)
    assert [one.status for one in await running.deliveries(made.subscription.id)] == ["delivered", "dead"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"webhook_url": "https://10.0.0.1/hook"}, INVALID_INPUT),
        ({"events": ["no-such-event"]}, INVALID_INPUT),
        ({"events": ["moderation"]}, FORBIDDEN),
        ({"webhook_url": f"{URL}/2"}, CONFLICT),
    ],
)
async def test_a_change_is_refused_where_subscribing_would_be(
    running: World, changes: dict[str, Any], kind: ErrorCode
) -> None:
    made = (await running.subscribe(URL)).subscription
    await running.subscribe(f"{URL}/2")
    assert await refusal(running.do(webhooks.change, id=made.id, **changes)) is kind
    assert await running.do(webhooks.get_subscription, id=made.id) == made


async def test_who_lost_the_space_may_pause_and_not_resume(running: World) -> None:
    made = (await running.subscribe(URL)).subscription
    await running.sql("UPDATE posts SET hidden = true")
    await running.do(webhooks.change, id=made.id, paused=True)
    assert await refusal(running.do(webhooks.change, id=made.id, paused=False)) is NOT_FOUND


async def test_who_moderates_no_more_cannot_go_on_with_what_moderators_did(running: World) -> None:
    await running.sql(MODERATOR)
    made = (await running.subscribe(URL, account="bob", events=["moderation"])).subscription
    await running.do(webhooks.change, "bob", id=made.id, paused=True)
    await running.sql("DELETE FROM space_roles")
    assert await refusal(running.do(webhooks.change, "bob", id=made.id, paused=False)) is FORBIDDEN
    await running.do(webhooks.change, "bob", id=made.id, paused=False, events=["chat"])


async def test_a_subscription_of_somebody_else_cannot_be_changed_rotated_or_tried(running: World) -> None:
    made = (await running.subscribe(URL)).subscription
    for operation in (webhooks.change, webhooks.rotate_secret, webhooks.send_test):
        assert await refusal(running.do(operation, "dave", id=made.id)) is NOT_FOUND


async def test_two_secrets_sign_while_one_rotates_and_never_three(running: World, sink: WebhookSink) -> None:
    made = await running.subscribe(sink.url)
    rotated = [await running.do(webhooks.rotate_secret, id=made.subscription.id) for _ in range(2)]
    secrets = [made.secret, *(one.secret for one in rotated)]
    await running.bus.publish(message_posted())
    (request,) = await sink.wait_for(1)
    assert [verifies(secret, request) for secret in secrets] == [False, True, True]
    running.clock.advance(hours=24)
    await running.bus.publish(message_posted())
    assert [verifies(secret, (await sink.wait_for(2))[1]) for secret in secrets] == [False, False, True]


async def test_without_an_overlap_the_secret_before_ends_at_once(running: World, sink: WebhookSink) -> None:
    made = await running.subscribe(sink.url)
    rotated = await running.do(webhooks.rotate_secret, id=made.subscription.id, overlap_seconds=0, secret=SECRET)
    assert (rotated.secret, rotated.subscription.previous_secret_until) == (None, None)
    await running.bus.publish(message_posted())
    (request,) = await sink.wait_for(1)
    assert len(request.headers["webhook-signature"].split()) == 1
    assert not verifies(made.secret, request)


async def test_a_repeated_rotation_rotates_once_and_shows_its_secret_for_ten_minutes(running: World) -> None:
    made = await running.subscribe(URL)
    request = {"id": made.subscription.id, "client_message_id": "key-1"}
    first = await running.do(webhooks.rotate_secret, **request)
    assert first.secret not in (None, made.secret)
    assert await running.do(webhooks.rotate_secret, **request) == first
    assert await refusal(running.do(webhooks.rotate_secret, **request, secret=SECRET)) is CONFLICT
    running.clock.advance(minutes=11)
    assert (await running.do(webhooks.rotate_secret, **request)).secret is None


async def test_a_rotation_to_the_secret_that_it_has_is_refused(running: World) -> None:
    made = (await running.subscribe(URL, secret=SECRET)).subscription
    assert await refusal(running.do(webhooks.rotate_secret, id=made.id, secret=SECRET)) is INVALID_INPUT
