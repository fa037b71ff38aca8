"""A new URL is asked whether it wants webhooks, and sent nothing else before it says yes."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook as Library

from libs.common.clock import now
from libs.common.contracts import webhooks
from libs.common.contracts.webhooks import Subscription
from libs.common.contracts.webhooks.ping import CHALLENGE_HEADER
from services.webhook_dispatcher.pings import ping, pinger
from services.webhook_dispatcher.redelivery import redeliverer
from tests.integration.webhook_dispatcher.world import World, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import HANG, Reply, WebhookSink

YES = Reply(headers={CHALLENGE_HEADER: "accept"})
URL = "https://myapp.com/webhook"


@pytest.fixture
async def running(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(pinger, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(redeliverer, "POLL_SECONDS", 0.02)
    async with world.dispatcher(webhook_ping=True):
        yield world


async def stored(world: World, subscription: str) -> Subscription:
    found: Subscription = await world.do(webhooks.get_subscription, id=subscription)
    return found


async def becomes(world: World, subscription: str, state: str) -> Subscription:
    async def has_become() -> Subscription | None:
        found = await stored(world, subscription)
        return found if found.state == state else None

    found: Subscription = await eventually(has_become)
    return found


async def asked(world: World, subscription: str, times: int) -> Subscription:
    """The subscription, as soon as so many pings are known to have failed."""

    async def have_failed() -> bool:
        rows = await world.sql("SELECT pings FROM webhook_subscriptions WHERE id = :id", id=subscription)
        return bool(rows[0].pings == times)

    await eventually(have_failed)
    return await stored(world, subscription)


async def notices(world: World) -> list[Any]:
    return list(await world.sql("SELECT * FROM webhook_notices ORDER BY id"))


async def test_the_first_that_a_url_is_sent_is_a_signed_ping_and_its_events_follow_a_yes(
    running: World, sink: WebhookSink
) -> None:
    sink.answer(YES)
    made = await running.subscribe(sink.url)
    assert (made.subscription.state, made.subscription.active) == ("unverified", False)
    (request,) = await sink.wait_for(1)
    body = Library(made.secret or "").verify(request.body, dict(request.headers))
    assert (body["type"], body["space_id"]) == ("ping", "alice/my-360-photo")
    assert body["data"]["challenge"] == request.headers["x-dlux-challenge"]
    verified = await becomes(running, made.subscription.id, "active")
    assert (verified.active, verified.ping_at, verified.ping_error) == (True, None, None)
    await running.bus.publish(message_posted())
    assert (await sink.wait_for(2))[1].json["type"] == "chat"


@pytest.mark.parametrize("shape", ["the body", "a field of the body", "the header"])
async def test_an_endpoint_says_yes_by_the_challenge(running: World, shape: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        challenge = (await request.json())["data"]["challenge"]
        if shape == "the body":
            return web.Response(text=challenge)
        if shape == "the header":
            return web.Response(status=204, headers={CHALLENGE_HEADER: challenge})
        return web.json_response({"ok": True, "challenge": challenge})

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made = (await running.subscribe(f"http://127.0.0.1:{runner.addresses[0][1]}/")).subscription
    assert (await becomes(running, made.id, "active")).active
    await runner.cleanup()


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, body=b"OK"),
        Reply(200, {CHALLENGE_HEADER: "of somebody else"}),
        Reply(500, {CHALLENGE_HEADER: "accept"}),
        Reply(302, {CHALLENGE_HEADER: "accept", "Location": "/other"}),
    ],
)
async def test_nothing_else_is_a_yes(running: World, sink: WebhookSink, answer: Reply) -> None:
    sink.answer(answer)
    made = (await running.subscribe(sink.url)).subscription
    after = await asked(running, made.id, 1)
    assert (after.state, after.active) == ("unverified", False)
    assert after.ping_error
    assert after.ping_at
    assert after.ping_at > running.clock()


async def test_a_url_is_asked_again_and_again_until_it_says_yes(running: World, sink: WebhookSink) -> None:
    sink.answer(500, 500, 500, YES)
    made = (await running.subscribe(sink.url)).subscription
    for times in range(1, 4):
        await asked(running, made.id, times)
        assert len(sink.received) == times
        running.clock.advance(hours=1)
    await becomes(running, made.id, "active")
    assert len({request.json["data"]["challenge"] for request in sink.received}) == 4


async def test_after_a_day_it_is_given_up_and_its_owner_told_who_may_have_it_asked_anew(
    running: World, sink: WebhookSink
) -> None:
    sink.answer(*[500] * (1 + len(ping.PAUSES)), YES)
    began, made = running.clock(), (await running.subscribe(sink.url)).subscription
    for times in range(1, 1 + len(ping.PAUSES)):
        after = await asked(running, made.id, times)
        assert await notices(running) == []
        assert after.ping_at
        running.clock.moment = after.ping_at + timedelta(seconds=1)
    disabled = await becomes(running, made.id, "disabled")
    assert timedelta(hours=20) < running.clock() - began < timedelta(hours=28)
    assert "did not answer the ping" in (disabled.disabled_reason or "")
    (notice,) = await notices(running)
    assert (notice.kind, notice.account, notice.link) == ("webhook_disabled", "carol", f"/webhooks#{made.id}")
    assert "HTTP 500" in notice.title
    again = await running.do(webhooks.change, id=made.id, paused=False)
    assert (again.state, again.active, again.disabled_reason) == ("unverified", False, None)
    await becomes(running, made.id, "active")


async def test_a_410_is_asked_no_more_and_a_wait_that_is_asked_for_is_waited(running: World, sink: WebhookSink) -> None:
    sink.answer(Reply(503, {"Retry-After": "3600"}), 410)
    made = (await running.subscribe(sink.url)).subscription
    after = await asked(running, made.id, 1)
    assert after.ping_at
    assert abs(after.ping_at - running.clock() - timedelta(hours=1)) < timedelta(seconds=1)
    running.clock.advance(hours=1, seconds=1)
    await becomes(running, made.id, "disabled")
    assert len(sink.received) == 2


async def test_what_happens_before_a_yes_is_missed_and_can_be_had(running: World, sink: WebhookSink) -> None:
    sink.answer(500)
    made = (await running.subscribe(sink.url)).subscription
    await asked(running, made.id, 1)
    missed = message_posted("missed")
    await running.log(missed)
    await running.bus.publish(missed)
    span: dict[str, Any] = {"id": made.id, "since": now() - timedelta(hours=1), "until": now(), "status": "missed"}
    assert (await running.do(webhooks.redeliver_range, **span)).count == 1
    assert [one.status for one in await running.deliveries(made.id)] == ["dead"]
    await another_is_redelivered(running)
    assert all(request.json["type"] == "ping" for request in sink.received)
    sink.answer(YES)
    running.clock.advance(minutes=2)
    await becomes(running, made.id, "active")
    events = await sink.wait_for(1, lambda request: request.json["type"] == "chat")
    assert events[0].json["data"]["message"] == "missed"


async def another_is_redelivered(world: World) -> None:
    """What was asked for before is looked at by then."""
    async with WebhookSink() as other:
        other.answer(YES)
        made = (await world.subscribe(other.url, account="alice")).subscription
        await eventually(partial(is_on, world, made.id))
        await world.bus.publish(message_posted("another"))
        delivery = await world.delivery_of(made.id, "alice")
        await world.do(webhooks.redeliver, "alice", id=delivery.id)
        await other.wait_for(3)


async def is_on(world: World, subscription: str) -> bool:
    rows = await world.sql("SELECT active FROM webhook_subscriptions WHERE id = :id", id=subscription)
    return bool(rows[0].active)


async def test_another_url_is_asked_anew_and_what_is_pending_waits_for_its_yes(
    running: World, sink: WebhookSink
) -> None:
    sink.answer(YES, 500)
    made = (await running.subscribe(sink.url)).subscription
    await becomes(running, made.id, "active")
    await running.bus.publish(message_posted())
    await running.delivery_in("pending", made.id, attempts=1)
    async with WebhookSink() as other:
        other.answer(500, YES, 200)
        changed = await running.do(webhooks.change, id=made.id, webhook_url=other.url)
        assert (changed.state, changed.active) == ("unverified", False)
        await asked(running, made.id, 1)
        running.clock.advance(hours=1)
        await becomes(running, made.id, "active")
        await running.delivery_in("delivered", made.id)
        assert [request.json["type"] for request in other.received] == ["ping", "ping", "chat"]
    assert len(sink.received) == 2


async def test_a_yes_of_the_url_before_says_nothing_of_the_one_now(running: World, sink: WebhookSink) -> None:
    async with WebhookSink() as other:
        sink.answer(Reply(200, {CHALLENGE_HEADER: "accept"}, hang=True))
        other.answer(500)
        made = (await running.subscribe(sink.url)).subscription
        await sink.wait_for(1)
        await running.do(webhooks.change, id=made.id, webhook_url=other.url)
        await other.wait_for(1)
        sink.release()
        after = await asked(running, made.id, 1)
        assert (after.webhook_url, after.state) == (other.url, "unverified")


async def test_a_paused_one_is_asked_once_it_is_to_work_and_a_verified_one_not_again(
    running: World, sink: WebhookSink
) -> None:
    sink.answer(500, YES)
    made = (await running.subscribe(sink.url)).subscription
    await asked(running, made.id, 1)
    paused = await running.do(webhooks.change, id=made.id, paused=True)
    assert (paused.state, paused.ping_at) == ("paused", None)
    assert (await running.do(webhooks.change, id=made.id, paused=False)).state == "unverified"
    await becomes(running, made.id, "active")
    await running.do(webhooks.change, id=made.id, paused=True)
    assert (await running.do(webhooks.change, id=made.id, paused=False)).state == "active"
    assert len(sink.received) == 2


async def test_a_test_of_an_unverified_url_is_a_ping_whose_yes_counts(running: World, sink: WebhookSink) -> None:
    sink.answer(500, Reply(200, body=b"hello"), YES)
    made = (await running.subscribe(sink.url)).subscription
    await asked(running, made.id, 1)
    tested = await running.do(webhooks.send_test, id=made.id, event="chat")
    assert (tested.event, tested.status_code, tested.error, tested.answer) == ("ping", 200, ping.NOT_MEANT, "hello")
    assert (await running.do(webhooks.send_test, id=made.id)).error is None
    assert (await stored(running, made.id)).state == "active"


async def test_a_yes_while_it_is_paused_is_kept_and_it_stays_paused(running: World, sink: WebhookSink) -> None:
    sink.answer(500, YES)
    made = (await running.subscribe(sink.url)).subscription
    await asked(running, made.id, 1)
    await running.do(webhooks.change, id=made.id, paused=True)
    assert (await running.do(webhooks.send_test, id=made.id)).error is None
    paused = await stored(running, made.id)
    assert (paused.state, paused.active) == ("paused", False)
    assert (await running.do(webhooks.change, id=made.id, paused=False)).state == "active"


async def test_a_url_that_hangs_is_left_to_another_process_when_one_is_killed(
    world: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinger, "POLL_SECONDS", 0.02)
    sink.answer(HANG, YES)
    async with world.dispatcher(webhook_ping=True, drain_seconds=0):
        made = (await world.subscribe(sink.url)).subscription
        await sink.wait_for(1)
    async with world.dispatcher(webhook_ping=True):
        assert (await stored(world, made.id)).state == "unverified"
        world.clock.advance(seconds=21)
        await becomes(world, made.id, "active")


async def test_where_pings_are_off_nobody_is_asked_and_who_waited_works(world: World, sink: WebhookSink) -> None:
    async with world.dispatcher(webhook_ping=True):
        made = (await world.subscribe(URL)).subscription
    async with world.dispatcher():
        await becomes(world, made.id, "active")
        other = (await world.subscribe(sink.url)).subscription
        assert other.state == "active"
        assert (await world.do(webhooks.change, id=other.id, webhook_url=URL + "/2")).state == "active"
        assert (await world.do(webhooks.change, id=made.id, webhook_url=sink.url)).active
        await world.bus.publish(message_posted())
        await world.delivery_in("delivered", made.id)
    assert [request.json["type"] for request in sink.received] == ["chat"]


async def test_pings_of_one_account_leave_slots_to_others(running: World) -> None:
    async with WebhookSink() as hanging, WebhookSink() as well:
        hanging.answer(HANG)
        well.answer(YES)
        for n in range(12):
            await running.subscribe(f"{hanging.url}?{n}")
        await hanging.wait_for(pinger.OF_ACCOUNT)
        made = (await running.subscribe(well.url, account="alice")).subscription
        await eventually(partial(is_on, running, made.id))
        assert len(hanging.received) == pinger.OF_ACCOUNT
