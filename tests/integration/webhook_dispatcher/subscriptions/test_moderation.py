"""Whose a space is sees who listens to it, and ends it; an operator finds them by owner, host and failing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.common.bus.base import Caller
from libs.common.contracts import webhooks
from libs.common.errors import FORBIDDEN, NOT_FOUND, ErrorCode, PresenceError
from libs.common.identity import OPERATOR, Identity
from tests.integration.webhook_dispatcher.world import MODERATOR, POST, PRIVATE, World, message_posted
from tests.support.webhook_sink import WebhookSink

URL = "https://myapp.com/webhook/a-secret-path"
SPACE = f"post:{POST}"
TOKEN = Caller(Identity("service", OPERATOR, OPERATOR, operator=True), "request-1")


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    async with world.dispatcher():
        await world.sql(MODERATOR)
        yield world


async def refusal(attempt: Any) -> ErrorCode:
    with pytest.raises(PresenceError) as refused:
        await attempt
    return refused.value.kind


async def listed(world: World, account: str, **asked: Any) -> list[tuple[str, str]]:
    found = await world.do(webhooks.list_subscriptions, account, **asked)
    return [(one.created_by, one.webhook_url) for one in found.webhooks]


async def test_who_moderates_a_space_sees_who_listens_and_not_the_paths(running: World) -> None:
    await running.subscribe(URL)
    await running.subscribe(URL, account="bob")
    await running.subscribe(URL, space_id="bob/sculpture-hall")
    assert await listed(running, "alice", space=SPACE) == [
        ("bob", "https://myapp.com/"), ("carol", "https://myapp.com/")
    ]  # fmt: skip
    assert await listed(running, "bob", space=SPACE) == [("bob", URL), ("carol", "https://myapp.com/")]
    assert await listed(running, "bob", space=SPACE, owner="carol") == [("carol", "https://myapp.com/")]
    assert await listed(running, "carol") == [("carol", URL), ("carol", URL)]
    assert await listed(running, "carol", owner="bob") == []


@pytest.mark.parametrize(("space", "kind"), [(SPACE, FORBIDDEN), (f"document:{PRIVATE}", NOT_FOUND)])
async def test_who_does_not_moderate_a_space_is_not_told_who_listens(
    running: World, space: str, kind: ErrorCode
) -> None:
    assert await refusal(running.do(webhooks.list_subscriptions, "carol", space=space)) is kind


async def test_who_moderates_a_space_ends_a_webhook_and_its_owner_is_told(running: World) -> None:
    made = (await running.subscribe(URL)).subscription
    assert await refusal(running.do(webhooks.unsubscribe, "dave", id=made.id)) is NOT_FOUND
    await running.do(webhooks.unsubscribe, "bob", id=made.id)
    assert await listed(running, "carol") == []
    (notice,) = await running.sql("SELECT * FROM webhook_notices")
    assert (notice.account, "ended by bob" in notice.title) == ("carol", True)


async def test_a_moderator_has_no_power_over_the_owners_webhooks(running: World) -> None:
    made = (await running.subscribe(URL, account="alice")).subscription
    assert await refusal(running.do(webhooks.unsubscribe, "bob", id=made.id)) is FORBIDDEN


async def test_an_operator_finds_them_by_owner_host_and_failing(running: World, sink: WebhookSink) -> None:
    sink.answer(500)
    await running.subscribe(URL, events=["join"])
    await running.subscribe(URL, account="dave", events=["join"])
    failing = (await running.subscribe(sink.url)).subscription
    await running.bus.publish(message_posted())
    await running.delivery_in("pending", failing.id, attempts=1)
    assert await listed(running, "olivia", owner="dave") == [("dave", URL)]
    assert await listed(running, "olivia", host="MyApp.com") == [("dave", URL), ("carol", URL)]
    assert await listed(running, "olivia", failing=True) == [("carol", sink.url)]
    assert await listed(running, "olivia", failing=True, host="myapp.com") == []


async def test_the_operator_token_subscribes_to_any_space_and_hears_of_it(running: World, sink: WebhookSink) -> None:
    request = webhooks.Subscribe("document", PRIVATE, sink.url, ["chat", "moderation"])
    made = await running.bus.call(webhooks.subscribe, request, TOKEN)
    await running.bus.publish(message_posted(space_type="document", space_id=PRIVATE))
    await sink.wait_for(1)
    await running.bus.call(webhooks.unsubscribe, webhooks.SubscriptionId(made.subscription.id), TOKEN)
