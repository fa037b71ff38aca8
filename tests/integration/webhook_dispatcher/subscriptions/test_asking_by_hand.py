"""Tests and redeliveries are held to the bounds of deliveries; and a key pair that signs them all."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from libs.common.contracts import webhooks
from libs.common.errors import UNAVAILABLE, ErrorCode, PresenceError
from services.webhook_dispatcher.redelivery import redeliverer
from services.webhook_dispatcher.sending import queue_repository
from tests.integration.webhook_dispatcher.world import World, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import HANG, Received, WebhookSink


@pytest.fixture
async def running(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(redeliverer, "POLL_SECONDS", 0.02)
    async with world.dispatcher(webhook_concurrency_host=1):
        yield world


def is_by(public_key: str | None, request: Received) -> bool:
    """Whether one of the signatures is v1a, by the private key that belongs to this one."""
    entries = [entry[4:] for entry in request.headers["webhook-signature"].split() if entry.startswith("v1a,")]
    if not entries or not public_key:
        return False
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    signed = f"{request.webhook_id}.{request.headers['webhook-timestamp']}.".encode() + request.body
    key.verify(base64.b64decode(entries[0]), signed)
    return True


async def test_a_test_and_a_redelivery_wait_for_their_host(running: World, sink: WebhookSink) -> None:
    sink.answer(200, HANG)
    made = (await running.subscribe(sink.url)).subscription
    await running.bus.publish(message_posted("first"))
    first = await running.delivery_in("delivered", made.id)
    await running.bus.publish(message_posted("second"))
    await sink.wait_for(2)
    with pytest.raises(PresenceError) as refused:
        await running.do(webhooks.send_test, id=made.id)
    assert refused.value.kind is UNAVAILABLE
    await running.do(webhooks.redeliver, id=first.id)
    async with WebhookSink("127.0.0.2") as other:  # what was asked for before is looked at by then
        beside = (await running.subscribe(other.url, account="alice")).subscription
        await running.bus.publish(message_posted("third"))
        await running.do(webhooks.redeliver, "alice", id=(await running.delivery_of(beside.id, "alice")).id)
        await other.wait_for(2)
    assert len(sink.received) == 2
    sink.answer(200)
    sink.release()
    again = await sink.wait_for(2, lambda request: request.webhook_id == first.webhook_id)
    assert len(again) == 2


async def test_what_is_being_claimed_holds_its_slots_already(
    running: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await running.subscribe(sink.url)).subscription
    refused: list[ErrorCode] = []
    claim = queue_repository.claim

    async def claiming(*arguments: Any) -> Any:
        with pytest.raises(PresenceError) as error:
            await running.do(webhooks.send_test, id=made.id)
        refused.append(error.value.kind)
        return await claim(*arguments)

    monkeypatch.setattr(queue_repository, "claim", claiming)
    await running.bus.publish(message_posted())
    await running.delivery_in("delivered", made.id)
    assert refused == [UNAVAILABLE]
    assert [request.json["event"] for request in sink.received] == ["chat"]


async def test_a_key_pair_signs_events_and_tests_from_when_it_is_asked_for(running: World, sink: WebhookSink) -> None:
    made = (await running.subscribe(sink.url)).subscription
    assert made.public_key is None
    changed = await running.do(webhooks.change, id=made.id, asymmetric=True)
    await running.bus.publish(message_posted())
    await running.delivery_in("delivered", made.id)
    await running.do(webhooks.send_test, id=made.id)
    assert [is_by(changed.public_key, request) for request in sink.received] == [True, True]
    assert (await running.do(webhooks.change, id=made.id, asymmetric=True)).public_key == changed.public_key
    await running.do(webhooks.change, id=made.id, asymmetric=False)
    another = (await running.do(webhooks.change, id=made.id, asymmetric=True)).public_key
    assert another not in (None, changed.public_key)
    rows = await running.sql("SELECT signing_key_sealed FROM webhook_subscriptions WHERE id = :id", id=made.id)
    assert len(rows[0].signing_key_sealed) == 12 + 32 + 16  # nonce, key, tag


async def test_a_repeated_subscription_without_its_key_pair_is_another(running: World) -> None:
    asked = {"client_message_id": "once", "url": "https://myapp.com/webhook"}
    first = await running.subscribe(**asked, asymmetric=True)
    again = await running.subscribe(**asked, asymmetric=True)
    assert first.subscription.public_key
    assert again.subscription.public_key == first.subscription.public_key
    with pytest.raises(PresenceError):
        await running.subscribe(**asked)

    async def is_kept() -> bool:
        stored = await running.do(webhooks.get_subscription, id=first.subscription.id)
        return bool(stored.public_key == first.subscription.public_key)

    await eventually(is_kept)
