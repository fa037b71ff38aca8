"""From an event on the bus to a signed POST, and what becomes of it."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from standardwebhooks import Webhook as Library

from libs.common.clock import now, rfc3339
from libs.common.contracts import default_registry, webhooks
from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.registry import Event, Registry, Webhook
from libs.common.contracts.webhooks import EVENTS, SubscriptionId
from libs.common.db.models.event_log import EventLogRow
from libs.common.db.redaction import forget_words
from libs.common.db.sealing import Sealer
from libs.common.ids import new_id
from services.webhook_dispatcher import signing
from tests.integration.webhook_dispatcher.world import POST, PRIVATE, World, caller, message_posted
from tests.support.halls import HOST
from tests.support.waiting import eventually
from tests.support.webhook_sink import HANG, Reply, WebhookSink

HALL = "hall-0"


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    async with world.dispatcher():
        yield world


async def test_an_event_arrives_as_the_contract_says(running: World, sink: WebhookSink) -> None:
    await running.subscribe(sink.url)
    event = message_posted()
    await running.bus.publish(event)
    (request,) = await sink.wait_for(1)
    body = request.json
    assert body.pop("id") == request.webhook_id
    assert body == {
        "type": "chat",
        "event": "chat",
        "space_type": "post",
        "space_id": POST,
        "timestamp": rfc3339(event.occurred_at),
        "sequence": 7,
        "data": {
            "id": event.payload["id"],
            "message": "Hello from VR!",
            "user_account": "alice",
            "subspace": "main",
            "message_type": "text",
        },
    }
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("DLUX-Presence-Webhook/")


async def test_a_server_made_secret_verifies_what_arrives(running: World, sink: WebhookSink) -> None:
    secret = (await running.subscribe(sink.url)).secret
    assert secret is not None
    await running.bus.publish(message_posted("Grüße 👋"))
    (request,) = await sink.wait_for(1)
    verified = Library(secret).verify(request.body, dict(request.headers))
    assert verified["data"]["message"] == "Grüße 👋"


async def test_the_subscribers_own_secret_verifies_by_plain_hmac(running: World, sink: WebhookSink) -> None:
    assert (await running.subscribe(sink.url, secret="webhook_secret")).secret is None
    await running.bus.publish(message_posted())
    (request,) = await sink.wait_for(1)
    expected = hmac.new(b"webhook_secret", request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-dlux-signature"] == f"sha256={expected}"


async def test_both_secrets_sign_while_one_rotates(running: World, sink: WebhookSink) -> None:
    subscription = (await running.subscribe(sink.url)).subscription
    old = signing.make_secret()
    await running.sql(
        "UPDATE webhook_subscriptions SET previous_secret_sealed = :sealed, previous_secret_until = :until",
        sealed=Sealer(running.settings.secret_key).seal(signing.key_of(old), subscription.id),
        until=running.clock() + timedelta(hours=1),
    )
    await running.bus.publish(message_posted())
    (request,) = await sink.wait_for(1)
    Library(old).verify(request.body, dict(request.headers))
    running.clock.advance(hours=2)
    await running.bus.publish(message_posted())
    second = (await sink.wait_for(2))[1]
    assert len(second.headers["webhook-signature"].split(" ")) == 1


async def test_each_retry_has_the_same_id_and_the_same_bytes(running: World, sink: WebhookSink) -> None:
    sink.answer(500, 503, 200)
    subscription = (await running.subscribe(sink.url)).subscription
    await running.bus.publish(message_posted())
    first = await running.delivery_in("pending", subscription.id, attempts=1)
    assert first.last_error == "HTTP 500."
    running.clock.advance(seconds=6)
    await running.delivery_in("pending", subscription.id, attempts=2)
    running.clock.advance(minutes=6)
    delivered = await running.delivery_in("delivered", subscription.id)
    assert delivered.attempts == 3
    assert {(request.webhook_id, request.body) for request in sink.received} == {
        (delivered.webhook_id, sink.received[0].body)
    }
    assert len({request.headers["webhook-timestamp"] for request in sink.received}) == 3
    rows = await running.sql("SELECT status_code FROM webhook_attempts ORDER BY id")
    assert [row.status_code for row in rows] == [500, 503, 200]


async def test_an_endpoint_that_never_answers_well_is_given_up_after_ten_attempts(
    running: World, sink: WebhookSink
) -> None:
    sink.answer(500)
    subscription = (await running.subscribe(sink.url)).subscription
    await running.bus.publish(message_posted())
    for attempts in range(1, 10):
        await running.delivery_in("pending", subscription.id, attempts=attempts)
        running.clock.advance(hours=27)
    dead = await running.delivery_in("dead", subscription.id)
    assert (dead.attempts, dead.next_attempt_at, len(sink.received)) == (10, None, 10)


async def log(world: World, event: LoggedEvent, subject: str) -> None:
    """As the service that the event comes from writes it."""
    async with world.owner.transaction() as connection:
        row = {name: value for name, value in asdict(event).items() if name in EventLogRow.__table__.columns}
        await connection.execute(insert(EventLogRow).values(**row, subject=subject))


async def test_words_that_were_taken_back_are_not_sent_by_a_retry_and_are_kept_nowhere(
    running: World, sink: WebhookSink
) -> None:
    sink.answer(500, 503, 200)
    subscription = (await running.subscribe(sink.url)).subscription
    event = message_posted("a secret that slipped out")
    await log(running, event, event.payload["id"])
    await running.bus.publish(event)
    await running.delivery_in("pending", subscription.id, attempts=1)
    async with running.owner.transaction() as connection:
        await forget_words(connection, event.payload["id"])
    running.clock.advance(seconds=6)
    await running.delivery_in("pending", subscription.id, attempts=2)
    running.clock.advance(minutes=6)
    await running.delivery_in("delivered", subscription.id)
    before, *after = sink.received
    assert before.json["data"]["message"] == "a secret that slipped out"
    assert [request.json for request in after] == [
        {**before.json, "data": {**before.json["data"], "message": None}}
    ] * 2
    assert after[0].body == after[1].body
    ((body,),) = await running.sql("SELECT body FROM webhook_deliveries")
    assert bytes(body) == after[0].body


async def test_a_deleted_comments_webhooks_say_what_was_done_and_not_what_it_said(
    running: World, sink: WebhookSink
) -> None:
    sink.answer(500, 200)
    where = {"space_type": "document", "space_id": PRIVATE}
    subscription = (await running.subscribe(sink.url, account="bob", events=["comment"], **where)).subscription
    comment = {"id": new_id(), "content": "a secret", "section": "intro"}
    payload = {"action": "posted", "by": "alice", "comment": comment}
    event = message_posted(name="documents.comment_changed", payload=payload, subspace=None, **where)
    await log(running, event, comment["id"])
    await running.bus.publish(event)
    await sink.wait_for(1)
    async with running.owner.transaction() as connection:
        await forget_words(connection, comment["id"])

    async def failed_once() -> bool:
        rows = await running.sql(
            "SELECT attempts FROM webhook_deliveries WHERE subscription_id = :id", id=subscription.id
        )
        return [row.attempts for row in rows] == [1]

    await eventually(failed_once)
    running.clock.advance(seconds=6)
    again = (await sink.wait_for(2))[1]
    assert again.json["data"] == {**payload, "comment": {**comment, "content": None}}


async def test_a_consumer_hears_what_was_edited_and_what_was_taken_back(running: World, sink: WebhookSink) -> None:
    await running.subscribe(sink.url, events=["chat", "chat_edited", "chat_deleted"])
    said = message_posted("a secret")
    of_it = {"id": said.payload["id"], "seq": 2, "parent_message_id": None, "user_account": "dave"}
    edited = {**of_it, "content": "no secret", "mentions": [], "display_name": "dave", "updated_at": rfc3339(now())}
    gone = {**of_it, "deleted_by": "alice", "reason": "he asked me to", "deleted_at": rfc3339(now())}
    await running.bus.publish(
        said,
        message_posted(name="chat.message_edited", payload=edited),
        message_posted(name="chat.message_removed", payload=gone),
    )
    bodies = {request.json["event"]: request.json["data"] for request in await sink.wait_for(3)}
    assert {bodies[event]["id"] for event in ("chat", "chat_edited", "chat_deleted")} == {said.payload["id"]}
    assert bodies["chat_edited"]["message"] == "no secret"
    assert not {"message", "content", "reason", "deleted_by"} & bodies["chat_deleted"].keys()


async def test_a_subscriber_of_an_event_hears_of_its_changes_its_reminder_and_its_cancelling(
    running: World, sink: WebhookSink
) -> None:
    hears = ["event_changed", "event_reminder", "event_cancelled"]
    await running.subscribe(sink.url, space_type="event", space_id=HALL, events=hears)
    times = {"starts_at": rfc3339(now()), "ends_at": rfc3339(now())}
    told = {"id": HALL, "title": "A hall", "host": HOST, "space_type": "event", "space_id": HALL, "going": 3, **times}
    names = ("events.changed", "events.starts_soon", "events.cancelled")
    place: dict[str, Any] = {"space_type": "event", "space_id": HALL, "subspace": None, "actor": "service:spaces_auth"}
    await running.bus.publish(*(message_posted(name=name, payload=told, **place) for name in names))
    arrived = await sink.wait_for(3)
    assert {request.json["event"] for request in arrived} == set(hears)
    assert all(request.json["data"] == told for request in arrived)


async def test_what_the_author_alone_has_a_use_for_is_sent_to_nobody(running: World, sink: WebhookSink) -> None:
    await running.subscribe(sink.url, account="bob", events=["chat"])
    await running.subscribe(sink.url, account="bob", events=["comment"], space_type="document", space_id=PRIVATE)
    said = message_posted()
    await running.bus.publish(replace(said, payload={**said.payload, "client_message_id": "k"}))
    payload = {"action": "posted", "comment": {"id": new_id(), "content": "x", "client_message_id": "k"}}
    where: dict[str, Any] = {"space_type": "document", "space_id": PRIVATE, "subspace": None}
    await running.bus.publish(message_posted(name="documents.comment_changed", payload=payload, **where))
    assert all(b"client_message_id" not in request.body for request in await sink.wait_for(2))


HEADS = {
    "a header of 64 KB": b"HTTP/1.1 200 OK\r\nX-Much: " + b"a" * 65536 + b"\r\nContent-Length: 0\r\n\r\n",
    "a header of 1 MB": b"HTTP/1.1 200 OK\r\nX-Much: " + b"a" * 1048576 + b"\r\nContent-Length: 0\r\n\r\n",
    "a 204 with a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "a 204 with a chunked body": b"HTTP/1.1 204 Done\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a head that breaks off": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a header that is none": b"HTTP/1.1 200 OK\r\n\x00\r\n\r\n",
    "an interim answer first": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a body that breaks off": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_an_odd_answer_that_begins_with_2xx_is_a_success(running: World, head: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        subscription = (await running.subscribe(url)).subscription
        await running.bus.publish(message_posted())
        delivered = await running.delivery_in("delivered", subscription.id, attempts=1)
    assert (delivered.attempts, delivered.last_error) == (1, None)


async def test_a_redirect_is_a_failure_and_is_not_followed(running: World, sink: WebhookSink) -> None:
    sink.answer(Reply(302, {"Location": f"{sink.url}/elsewhere"}), 200)
    subscription = (await running.subscribe(sink.url)).subscription
    await running.bus.publish(message_posted())
    delivery = await running.delivery_in("pending", subscription.id, attempts=1)
    assert delivery.last_status_code == 302
    assert [request.path for request in sink.received] == ["/hook"]


async def test_retry_after_is_honoured(running: World, sink: WebhookSink) -> None:
    sink.answer(Reply(429, {"Retry-After": "120"}), 200)
    subscription = (await running.subscribe(sink.url)).subscription
    await running.bus.publish(message_posted())
    delivery = await running.delivery_in("pending", subscription.id, attempts=1)
    assert delivery.next_attempt_at
    assert abs(delivery.next_attempt_at - running.clock() - timedelta(seconds=120)) < timedelta(milliseconds=2)


async def test_gone_disables_the_subscription_and_what_is_pending_for_it(running: World, sink: WebhookSink) -> None:
    sink.answer(500, 410)
    subscription = (await running.subscribe(sink.url)).subscription
    await running.bus.publish(message_posted("first"))
    await running.delivery_in("pending", subscription.id, attempts=1)
    await running.bus.publish(message_posted("second"))

    async def disabled() -> str | None:
        stored = await running.bus.call(webhooks.get_subscription, SubscriptionId(subscription.id), caller("carol"))
        return None if stored.active else stored.disabled_reason

    assert await eventually(disabled) == "The endpoint answered 410 Gone."

    async def are_dead() -> bool:
        return [delivery.status for delivery in await running.deliveries(subscription.id)] == ["dead", "dead"]

    await eventually(are_dead)


async def test_an_endpoint_that_hangs_is_a_failure(world: World, sink: WebhookSink) -> None:
    sink.answer(HANG)
    async with world.dispatcher(webhook_timeout=0.2):
        subscription = (await world.subscribe(sink.url)).subscription
        await world.bus.publish(message_posted())
        delivery = await world.delivery_in("pending", subscription.id, attempts=1)
    assert delivery.last_error == "No answer within 0.2 seconds."


async def test_an_endpoint_that_is_not_there_is_a_failure(running: World) -> None:
    async with WebhookSink() as gone:
        url = gone.url
    subscription = (await running.subscribe(url)).subscription
    await running.bus.publish(message_posted())
    delivery = await running.delivery_in("pending", subscription.id, attempts=1)
    assert (delivery.last_status_code, delivery.last_error) == (None, "The host did not take the connection.")


async def test_the_size_of_an_answer_does_not_matter(running: World, sink: WebhookSink) -> None:
    sink.answer(Reply(200, body=bytes(5_000_000)))
    subscription = (await running.subscribe(sink.url)).subscription
    await running.bus.publish(message_posted())
    delivery = await running.delivery_in("delivered", subscription.id)
    assert (delivery.attempts, delivery.last_status_code) == (1, 200)


async def test_an_address_that_became_private_is_not_dialled(world: World, sink: WebhookSink) -> None:
    async with world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
    async with world.dispatcher(webhook_allowed_networks=()):
        await world.bus.publish(message_posted())
        delivery = await world.delivery_in("pending", subscription.id, attempts=1)
    assert delivery.last_error == "The address is not one that webhooks may go to."
    assert not sink.received


async def test_a_slow_endpoint_delays_nobody_else(world: World, sink: WebhookSink) -> None:
    async with WebhookSink() as slow, world.dispatcher(webhook_concurrency=5, webhook_concurrency_each=4):
        slow.answer(HANG)
        await world.subscribe(slow.url)
        await world.subscribe(sink.url)
        for _ in range(20):
            await world.bus.publish(message_posted())
        await sink.wait_for(20)
        assert 1 <= len(slow.received) <= 4
        slow.release()
        await slow.wait_for(20)


async def test_two_dispatchers_share_the_work_without_repeating_any(world: World, sink: WebhookSink) -> None:
    async with world.dispatcher(), world.dispatcher():
        subscription = (await world.subscribe(sink.url)).subscription
        for _ in range(40):
            await world.bus.publish(message_posted())

        async def all_delivered() -> bool | None:
            found = await world.deliveries(subscription.id)
            return True if [d.status for d in found] == ["delivered"] * 40 else None

        await eventually(all_delivered)
    assert len({request.webhook_id for request in sink.received}) == len(sink.received) == 40


@dataclass(frozen=True)
class Wave:
    """A scratch payload."""

    hand: str
    times: int


WAVED = Event("scratch.waved", Wave, bindings=(Webhook("wave", rename={"hand": "with"}),))


async def test_an_event_that_is_only_declared_is_delivered(world: World, sink: WebhookSink) -> None:
    registry = Registry([*default_registry().operations, *default_registry().events, WAVED])
    async with world.dispatcher(registry):
        await world.subscribe(sink.url, events=["wave"])
        waved = message_posted(name="scratch.waved", payload={"hand": "left", "times": 3}, subspace=None)
        await world.bus.publish(waved)
        (request,) = await sink.wait_for(1)
    assert request.json["event"] == "wave"
    assert request.json["data"] == {"with": "left", "times": 3}
    assert "wave" not in EVENTS
