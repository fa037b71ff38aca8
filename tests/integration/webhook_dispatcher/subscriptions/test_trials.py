"""A test event shows what the endpoint answers, and changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from standardwebhooks import Webhook as Library

from libs.common.contracts import webhooks
from libs.common.errors import INVALID_INPUT, PresenceError
from services.webhook_dispatcher import excerpt
from tests.integration.webhook_dispatcher.world import World
from tests.support.webhook_sink import Reply, WebhookSink


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    async with world.dispatcher():
        yield world


async def test_a_test_is_signed_like_an_event_and_tells_what_came_back(running: World, sink: WebhookSink) -> None:
    sink.answer(Reply(418, body=b"I am a teapot. " + b"x" * 2000))
    made = await running.subscribe(sink.url, events=["join", "chat"])
    tested = await running.do(webhooks.send_test, id=made.subscription.id, event="chat")
    (request,) = sink.received
    assert (tested.webhook_id, tested.event) == (request.webhook_id, "chat")
    assert tested.webhook_id.startswith("msg_test_")
    assert Library(made.secret or "").verify(request.body, dict(request.headers))["data"]["message"]
    assert (tested.status_code, tested.error) == (418, "HTTP 418.")
    assert tested.answer.startswith("I am a teapot. ")
    assert len(tested.answer) == excerpt.SHOWN


async def test_a_test_leaves_no_delivery_and_needs_no_active_subscription(running: World, sink: WebhookSink) -> None:
    made = (await running.subscribe(sink.url)).subscription
    await running.do(webhooks.change, id=made.id, paused=True)
    sink.answer(410)
    assert (await running.do(webhooks.send_test, id=made.id)).status_code == 410
    stored = await running.do(webhooks.get_subscription, id=made.id)
    assert (stored.paused, stored.disabled_reason, stored.failing_since) == (True, None, None)
    assert await running.deliveries(made.id) == []


async def test_a_signature_that_the_endpoint_sends_back_is_struck_out(running: World) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n" % len(head) + head)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        made = (await running.subscribe(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")).subscription
        answer = (await running.do(webhooks.send_test, id=made.id)).answer
    shown = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in answer.splitlines())}
    assert (shown["webhook-signature"], shown["x-dlux-signature"]) == ("v1,[signature]", "sha256=[signature]")


async def test_a_connection_that_ends_before_an_answer_is_told_in_words(running: World) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        made = (await running.subscribe(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")).subscription
        tested = await running.do(webhooks.send_test, id=made.id)
    assert (tested.status_code, tested.error) == (None, "The connection was closed before an answer.")


async def test_every_event_can_be_tested_and_no_other(running: World, sink: WebhookSink) -> None:
    made = (await running.subscribe(sink.url)).subscription
    for event in webhooks.EVENTS:
        await running.do(webhooks.send_test, id=made.id, event=event)
    assert [request.json["type"] for request in sink.received] == list(webhooks.EVENTS)
    with pytest.raises(PresenceError) as refused:
        await running.do(webhooks.send_test, id=made.id, event="no-such-event")
    kind: Any = refused.value.kind
    assert kind is INVALID_INPUT
