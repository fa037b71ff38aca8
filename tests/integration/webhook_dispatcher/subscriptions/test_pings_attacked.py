"""Somebody who subscribes means harm: the ping is no way to aim at others, to hold up others, or to lie."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from libs.common.contracts import webhooks
from libs.common.contracts.webhooks import SubscriptionId
from libs.common.contracts.webhooks.ping import CHALLENGE_HEADER
from libs.common.errors import NOT_FOUND, PresenceError
from services.webhook_dispatcher import guard as webhook_guard
from services.webhook_dispatcher.pings import ping, pinger
from services.webhook_dispatcher.sender import ADDRESS_REFUSED
from tests.integration.webhook_dispatcher.subscriptions.test_pings import YES, asked, becomes, stored
from tests.integration.webhook_dispatcher.world import World, caller, message_posted
from tests.support.waiting import eventually
from tests.support.webhook_sink import HANG, Reply, WebhookSink

type Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def running(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(pinger, "POLL_SECONDS", 0.02)
    async with world.dispatcher(webhook_ping=True, webhook_timeout=2.0):
        yield world


@contextlib.asynccontextmanager
async def endpoint(talk: Talk) -> AsyncIterator[str]:
    """The URL of an endpoint that speaks as it likes. It reads the request's head first."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        server.close()


async def challenge_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.startswith(CHALLENGE_HEADER.encode()))


async def test_a_ping_is_sent_without_waiting_for_the_next_look(
    world: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinger, "POLL_SECONDS", 600.0)
    sink.answer(YES)
    async with world.dispatcher(webhook_ping=True), WebhookSink() as other:
        other.answer(YES)
        made = (await world.subscribe(sink.url)).subscription
        await becomes(world, made.id, "active")
        await world.do(webhooks.change, id=made.id, webhook_url=other.url)
        await becomes(world, made.id, "active")


async def test_a_ping_follows_no_redirect(running: World, sink: WebhookSink) -> None:
    async with WebhookSink() as victim:
        victim.answer(YES)
        for status in (301, 302, 303, 307, 308):
            sink.answer(Reply(status, {"Location": victim.url, CHALLENGE_HEADER: "accept"}))
            made = (await running.subscribe(f"{sink.url}?{status}")).subscription
            after = await asked(running, made.id, 1)
            assert (after.state, after.ping_error) == ("unverified", f"HTTP {status}: redirects are not followed.")
        assert victim.received == []


async def test_the_challenge_of_another_ping_is_no_yes(running: World) -> None:
    """Whoever gets one ping cannot answer those that go to others."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers[CHALLENGE_HEADER])
        return web.Response(text=seen[0], headers={CHALLENGE_HEADER: seen[0]})

    app = web.Application()
    app.router.add_post("/{path}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    first = (await running.subscribe(f"{url}/first")).subscription
    await becomes(running, first.id, "active")
    second = (await running.subscribe(f"{url}/second")).subscription
    assert (await asked(running, second.id, 1)).ping_error == ping.NOT_MEANT
    assert len({*seen}) == 2
    await runner.cleanup()


async def test_a_drip_that_never_becomes_an_answer_costs_its_time_and_is_no_yes(running: World) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        challenge = await challenge_of(reader)
        for byte in b"HTTP/1.1 200 OK\r\n%s: %s" % (CHALLENGE_HEADER.encode(), challenge) + b"x" * 1000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)

    async with endpoint(drip) as url:
        made = (await running.subscribe(url)).subscription
        after = await asked(running, made.id, 1)
    assert (after.state, after.ping_error) == (
        "unverified",
        ping.NOT_MEANT,
    )  # the status line came, and no header's end


async def test_what_comes_after_the_first_kib_is_not_read_for_a_yes_however_much_it_is(running: World) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        challenge = await challenge_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b" " * 1024)
        block = (challenge + b" ") * 1000
        while True:
            writer.write(block)
            await writer.drain()
            sent += len(block)

    async with endpoint(flood) as url:
        made = (await running.subscribe(url)).subscription
        after = await asked(running, made.id, 1)
    assert (after.state, after.ping_error) == ("unverified", ping.NOT_MEANT)
    assert sent < 20_000_000, "read on, of which nothing is used"


async def test_one_that_is_deleted_while_it_is_asked_is_gone_and_its_slot_is_free(
    running: World, sink: WebhookSink
) -> None:
    sink.answer(*[Reply(200, {CHALLENGE_HEADER: "accept"}, hang=True)] * pinger.OF_ACCOUNT, YES)
    made = [(await running.subscribe(f"{sink.url}?{n}")).subscription for n in range(pinger.OF_ACCOUNT)]
    await sink.wait_for(len(made))
    for one in made:
        await running.bus.call(webhooks.unsubscribe, SubscriptionId(one.id), caller("carol"))
    sink.release()
    again = (await running.subscribe(sink.url)).subscription
    await becomes(running, again.id, "active")
    with pytest.raises(PresenceError) as refused:
        await stored(running, made[0].id)
    assert refused.value.kind is NOT_FOUND
    assert [row.id for row in await running.sql("SELECT id::text FROM webhook_subscriptions")] == [again.id]


async def test_no_host_is_asked_by_more_than_a_few_at_once_whoever_subscribes(world: World, sink: WebhookSink) -> None:
    sink.answer(HANG)
    names = ("alice", "bob", "carol", "dave")
    async with world.dispatcher(webhook_ping=True, webhook_concurrency_host=5, webhook_timeout=600.0):
        for n in range(3):
            for account in names:
                await world.subscribe(f"{sink.url}?{n}", account=account)
        await sink.wait_for(5)
        async with WebhookSink("127.0.0.2") as other:  # what is asked there is asked after what waits
            other.answer(YES)
            made = (await world.subscribe(other.url, account="erin")).subscription

            async def is_on() -> bool:
                rows = await world.sql("SELECT active FROM webhook_subscriptions WHERE id = :id", id=made.id)
                return bool(rows[0].active)

            await eventually(is_on)
        assert len(sink.received) == 5
        sink.release()


async def test_a_name_that_turns_private_after_it_was_checked_is_not_reached(
    world: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: its name server says a public address to who checks, and a private one to who dials."""
    monkeypatch.setattr(pinger, "POLL_SECONDS", 0.02)
    lookup, asked_for = socket.getaddrinfo, 0

    def rebound(host: Any, *rest: Any, **more: Any) -> Any:
        nonlocal asked_for
        if host != "rebound.example":
            return lookup(host, *rest, **more)
        asked_for += 1
        return lookup("8.8.8.8" if asked_for == 1 else "127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    sink.answer(YES)
    async with world.dispatcher(webhook_ping=True, webhook_allowed_networks=(), webhook_require_https=False):
        made = (await world.subscribe(f"http://rebound.example:{sink.port}/hook")).subscription
        after = await asked(world, made.id, 1)
    assert (after.state, after.ping_error) == ("unverified", ADDRESS_REFUSED)
    assert asked_for > 1
    assert sink.received == []


async def test_names_that_take_long_to_look_up_hold_up_no_delivery(
    world: World, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup, over = socket.getaddrinfo, threading.Event()

    def slow(host: Any, *rest: Any, **more: Any) -> Any:
        if str(host).endswith(".slow.example"):
            over.wait()
            raise OSError("Name or service not known")
        return lookup(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(webhook_guard, "LOOKUP_SECONDS", 0.5)
    try:
        async with world.dispatcher(webhook_concurrency=8, webhook_timeout=2.0):
            made = (await world.subscribe(sink.url)).subscription
            urls = [f"https://{n}.slow.example/hook" for n in range(16)]
            await asyncio.gather(*(world.subscribe(url, account="dave") for url in urls))
            await world.bus.publish(message_posted())
            delivered = await world.delivery_in("delivered", made.id)
            assert delivered.attempts == 1
            over.set()
    finally:
        over.set()
