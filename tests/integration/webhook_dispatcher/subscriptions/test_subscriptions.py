"""The operations: who may subscribe to what, and who sees it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from libs.common.bus.base import Caller
from libs.common.contracts import webhooks
from libs.common.contracts.webhooks import ListDeliveries, ListSubscriptions, SubscriptionId
from libs.common.errors import CONFLICT, FORBIDDEN, INVALID_INPUT, NOT_FOUND, ErrorCode, PresenceError
from libs.common.identity import guest_identity
from libs.common.ids import new_id
from tests.integration.webhook_dispatcher.world import MODERATOR, PRIVATE, World, caller, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import WebhookSink

URL = "https://myapp.com/webhook"
CAROL, DAVE = caller("carol"), caller("dave")
OPERATORS = [caller("olivia"), caller("oscar", operator=True)]
DOCUMENT = {"space_type": "document", "space_id": PRIVATE}


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    async with world.dispatcher(webhook_subscriptions=3):
        yield world


async def refusal(attempt: Any) -> ErrorCode:
    with pytest.raises(PresenceError) as refused:
        await attempt
    return refused.value.kind


async def test_the_seeds_own_request_is_taken(running: World) -> None:
    events = ["chat", "join", "leave", "document_edit"]
    made = await running.subscribe(URL, account="bob", **DOCUMENT, events=events, secret="webhook_secret")
    assert (made.subscription.webhook_url, made.subscription.events) == (URL, events)
    assert made.subscription.active
    assert made.secret is None


@pytest.mark.parametrize(
    ("account", "kind"),
    [("carol", NOT_FOUND), ("alice", FORBIDDEN)],
    ids=["a stranger must not learn that it exists", "a member is no moderator"],
)
async def test_a_private_space_is_for_its_moderators(running: World, account: str, kind: ErrorCode) -> None:
    assert await refusal(running.subscribe(URL, account=account, **DOCUMENT)) is kind


async def test_a_space_that_does_not_exist_is_not_found(running: World) -> None:
    assert await refusal(running.subscribe(URL, space_id="alice/no-such-post")) is NOT_FOUND


async def test_a_guest_has_no_webhooks(running: World) -> None:
    guest = Caller(guest_identity(new_id()), "request-1")
    request = webhooks.Subscribe("global", "lobby", URL, ["chat"])
    assert await refusal(running.bus.call(webhooks.subscribe, request, guest)) is FORBIDDEN
    assert await refusal(running.bus.call(webhooks.list_subscriptions, ListSubscriptions(), guest)) is FORBIDDEN


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"events": []}, "events"),
        ({"events": ["chat", "no-such-event"]}, "events"),
        ({"secret": "short"}, "secret"),
        ({"secret": "x" * 257}, "secret"),
        ({"secret": "whsec_short"}, "secret"),
        ({"webhook_url": "https://10.0.0.1/hook"}, "webhook_url"),
        ({"webhook_url": "http://8.8.8.8/hook"}, "webhook_url"),
        ({"webhook_url": "myapp.com/hook"}, "webhook_url"),
        ({"webhook_url": "https://a..b/hook"}, "webhook_url"),
        ({"webhook_url": f"https://{'a' * 64}.example/hook"}, "webhook_url"),
        ({"webhook_url": f"https://{'a.' * 130}example/hook"}, "webhook_url"),
        ({"webhook_url": "https://xn--/hook"}, "webhook_url"),
        ({"webhook_url": "https://168.63.129.16/hook"}, "webhook_url"),
        ({"space_type": "nowhere"}, "space_type"),
        ({"space_id": "no slash"}, "space_id"),
    ],
)
async def test_a_bad_field_is_named(running: World, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(PresenceError) as refused:
        await running.subscribe(**{"url": changes.pop("webhook_url", URL), **changes})
    assert refused.value.kind is INVALID_INPUT
    assert list(refused.value.details["fields"]) == [field]


async def test_the_secret_is_stored_encrypted(running: World) -> None:
    await running.subscribe(URL, secret="webhook_secret")
    (row,) = await running.sql("SELECT secret_sealed FROM webhook_subscriptions")
    assert b"webhook_secret" not in row.secret_sealed


async def test_an_account_may_have_so_many_and_no_more(running: World) -> None:
    attempts = (running.subscribe(f"{URL}/{n}") for n in range(6))
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, PresenceError)]
    assert [error.kind for error in refused] == [CONFLICT] * 3
    assert refused[0].details["limit"] == 3
    await running.subscribe(URL, account="dave")


async def test_the_quota_does_not_bind_an_operator(running: World) -> None:
    made = [await running.subscribe(f"{URL}/{n}", account="olivia") for n in range(5)]
    assert len({one.subscription.id for one in made}) == 5


async def test_a_repeated_client_id_gives_the_first_subscription_and_secret(running: World) -> None:
    first = await running.subscribe(URL, client_message_id="key-1")
    assert await running.subscribe(URL, client_message_id="key-1") == first
    second = await running.subscribe(f"{URL}/2", client_message_id="key-2")
    assert second.subscription.id != first.subscription.id
    other = await running.subscribe(URL, account="dave", client_message_id="key-1")
    assert other.subscription.id != first.subscription.id


async def test_the_secret_is_shown_again_for_ten_minutes_only(running: World) -> None:
    first = await running.subscribe(URL, client_message_id="key-1")
    running.clock.advance(minutes=9)
    assert (await running.subscribe(URL, client_message_id="key-1")).secret == first.secret
    running.clock.advance(minutes=2)
    late = await running.subscribe(URL, client_message_id="key-1")
    assert (late.subscription, late.secret) == (first.subscription, None)


@pytest.mark.parametrize(
    "changes",
    [{"url": f"{URL}/2"}, {"events": ["join"]}, {"space_id": "bob/sculpture-hall"}, {"secret": "another secret"}],
)
async def test_a_client_id_that_stands_for_another_request_is_a_conflict(
    running: World, changes: dict[str, Any]
) -> None:
    first = (await running.subscribe(URL, client_message_id="key-1")).subscription
    with pytest.raises(PresenceError) as refused:
        await running.subscribe(**{"url": URL, "client_message_id": "key-1", **changes})
    assert (refused.value.kind, refused.value.details["id"]) == (CONFLICT, first.id)


async def test_an_account_has_one_subscription_of_a_space_and_url(running: World) -> None:
    first = (await running.subscribe(URL)).subscription
    with pytest.raises(PresenceError) as refused:
        await running.subscribe(URL, events=["join"])
    assert (refused.value.kind, refused.value.details["id"]) == (CONFLICT, first.id)
    attempts = (running.subscribe(f"{URL}/2") for _ in range(4))
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(outcome, PresenceError) for outcome in outcomes) == 3
    await running.subscribe(URL, space_id="bob/sculpture-hall")
    await running.subscribe(URL, account="dave")


@pytest.mark.parametrize(("account", "may"), [("carol", False), ("bob", True), ("alice", True), ("olivia", True)])
async def test_what_moderators_did_and_why_is_for_those_who_moderate(running: World, account: str, may: bool) -> None:
    await running.sql(MODERATOR)
    asked = running.subscribe(URL, account=account, events=["chat", "moderation"])
    if may:
        assert "moderation" in (await asked).subscription.events
    else:
        assert await refusal(asked) is FORBIDDEN


async def test_a_request_repeated_at_the_same_time_makes_one_subscription(running: World) -> None:
    made = await asyncio.gather(*(running.subscribe(URL, client_message_id="key-1") for _ in range(5)))
    assert len({(one.subscription.id, one.secret) for one in made}) == 1


async def test_an_account_sees_its_own_subscriptions_newest_first(running: World) -> None:
    made = [(await running.subscribe(f"{URL}/{n}")).subscription for n in range(3)]
    await running.subscribe(URL, account="dave")
    listed = (await running.bus.call(webhooks.list_subscriptions, ListSubscriptions(), CAROL)).webhooks
    assert listed == made[::-1]
    assert await running.bus.call(webhooks.get_subscription, SubscriptionId(made[0].id), CAROL) == made[0]


async def test_a_subscription_of_somebody_else_is_not_found(running: World) -> None:
    mine = (await running.subscribe(URL)).subscription.id
    for one in (mine, new_id()):
        assert await refusal(running.bus.call(webhooks.get_subscription, SubscriptionId(one), DAVE)) is NOT_FOUND
        assert await refusal(running.bus.call(webhooks.unsubscribe, SubscriptionId(one), DAVE)) is NOT_FOUND
        assert await refusal(running.bus.call(webhooks.list_deliveries, ListDeliveries(one), DAVE)) is NOT_FOUND


@pytest.mark.parametrize("operator", OPERATORS)
async def test_an_operator_sees_and_ends_all(running: World, operator: Caller) -> None:
    made = (await running.subscribe(URL)).subscription
    assert (await running.bus.call(webhooks.list_subscriptions, ListSubscriptions(), operator)).webhooks == [made]
    assert await running.bus.call(webhooks.get_subscription, SubscriptionId(made.id), operator) == made
    await running.bus.call(webhooks.unsubscribe, SubscriptionId(made.id), operator)
    assert (await running.bus.call(webhooks.list_subscriptions, ListSubscriptions(), operator)).webhooks == []


async def test_ending_a_subscription_drops_what_is_pending(running: World, sink: WebhookSink) -> None:
    sink.answer(500)
    made = (await running.subscribe(sink.url)).subscription
    await running.bus.publish(message_posted())
    await running.delivery_in("pending", made.id, attempts=1)
    await running.bus.call(webhooks.unsubscribe, SubscriptionId(made.id), CAROL)
    assert await refusal(running.deliveries(made.id)) is NOT_FOUND

    async def is_gone() -> bool:
        return not await running.sql("SELECT 1 FROM webhook_deliveries UNION ALL SELECT 1 FROM webhook_attempts")

    await eventually(is_gone)


async def test_deliveries_come_in_pages_newest_first(running: World, sink: WebhookSink) -> None:
    made = (await running.subscribe(sink.url)).subscription
    for seq in range(5):
        await running.bus.publish(message_posted(seq=seq))
        await sink.wait_for(seq + 1)
    request: ListDeliveries | None = ListDeliveries(made.id, limit=2)
    seen: list[int] = []
    while request:
        page = await running.bus.call(webhooks.list_deliveries, request, CAROL)
        seen += [delivery.sequence for delivery in page.deliveries]
        request = replace(request, cursor=page.next_cursor) if page.next_cursor else None
    assert seen == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("cursor", ["nonsense", "WyIxIl0", "WzFd"])
async def test_a_cursor_that_is_not_ours_is_refused(running: World, cursor: str) -> None:
    made = (await running.subscribe(URL)).subscription
    request = ListDeliveries(made.id, cursor=cursor)
    assert await refusal(running.bus.call(webhooks.list_deliveries, request, CAROL)) is INVALID_INPUT
