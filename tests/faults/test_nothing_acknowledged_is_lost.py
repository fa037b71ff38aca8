"""Any process may die at any moment, and the broker may go and come back: every ack still holds."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator

import msgspec

from deploy.local.guardian import REPOSITORY
from deploy.local.servers.rabbitmq import RabbitMQ
from deploy.local.stack import Stack
from tests.support.node import Client, Node
from tests.support.people import Rest
from tests.support.waiting import PATIENCE, eventually, line_with
from tests.support.webhook_sink import WebhookSink
from tests.support.whole import leave_reason

WEBSOCKET_ONLY = {"transports": ["websocket"]}
MESSAGES = 1000


async def two_clients(stack: Stack, node: Node, space: str) -> tuple[Client, Client]:
    """One on each replica, in the same space."""
    near = await node.connect_to("r1", f"near {space}", stack.url, WEBSOCKET_ONLY)
    far = await node.connect_to("r2", f"far {space}", stack.url, WEBSOCKET_ONLY)
    await near.join("event", space)
    await far.join("event", space)
    await near.wait_for("user-joined", lambda user: user["socketId"] == far.sid)
    return near, far


@contextlib.asynccontextmanager
async def stuck_chat(stack: Stack) -> AsyncIterator[asyncio.subprocess.Process]:
    """The chat service that hangs before it publishes; it has connected when the block begins."""
    environment = {**os.environ, **stack.settings_of("chat"), "PRESENCE_OPS_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.stuck_chat",
        cwd=REPOSITORY, env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await line_with(process, b"connected to the broker")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_chat_killed_between_commit_and_publish(stack: Stack, rest: Rest, node: Node) -> None:
    near, far = await two_clients(stack, node, "chat-killed")
    command = {"content": "committed, then killed", "client_message_id": "only-once"}
    await stack.kill("chat")
    try:
        async with stuck_chat(stack) as process:
            ack = await near.emit("chat-message", command)
            assert ack["ok"]
            await line_with(process, b"committed chat.message_posted")
            assert near.received("chat-message") == far.received("chat-message") == []
            process.kill()
    finally:
        await stack.start_one("chat")
    for client in (near, far):
        assert await client.wait_for("chat-message") == ack["message"]
    again = await near.emit("chat-message", command)
    assert again["message"] == ack["message"], "a retry finds the message that was acknowledged"
    last = await far.emit("chat-message", {"content": "next"})
    for client in (near, far):
        await client.wait_for("chat-message", lambda m: m["id"] == last["message"]["id"])
        assert [m["content"] for m in client.received("chat-message")] == ["committed, then killed", "next"]
    stored = await rest.get("/api/chat/event/chat-killed/messages")
    assert [m["content"] for m in stored["messages"]] == ["committed, then killed", "next"]


async def test_realtime_killed_with_members(stack: Stack, node: Node) -> None:
    near, far = await two_clients(stack, node, "realtime-killed")
    dead = near.sid
    await stack.kill("r1")
    try:
        left = await far.wait_for("user-left")
        assert (left["socketId"], left["reason"]) == (dead, "lost")
        await near.wait_for("connect", lambda about: about["sid"] != dead)
        ack = await near.join("event", "realtime-killed")
        assert [user["socketId"] for user in ack["users"]] == [far.sid], "no ghost of its own former self"
        message = (await near.emit("chat-message", {"content": "back"}))["message"]
        assert await far.wait_for("chat-message") == message
        await eventually(lambda: leave_reason(stack, dead))
    finally:
        await stack.start_one("r1")
    assert len(far.received("user-left")) == 1


async def test_the_broker_stopped_and_started_in_the_middle_of_a_thousand_messages(
    stack: Stack, rest: Rest, node: Node, rabbitmq_server: RabbitMQ
) -> None:
    near, far = await two_clients(stack, node, "broker-restart")
    owner = await rest.token("alice")
    commands = [{"content": f"number {n}", "client_message_id": f"id-{n}"} for n in range(MESSAGES)]
    async with WebhookSink() as sink:
        subscription = {
            "space_type": "event",
            "space_id": "broker-restart",
            "webhook_url": sink.url,
            "events": ["chat"],
        }
        await rest.post("/api/webhooks/subscribe", subscription, owner)

        pouring = asyncio.ensure_future(near.pour("chat-message", commands))
        await far.wait_for("chat-message", count=MESSAGES // 4)
        await rabbitmq_server.stop()
        await rabbitmq_server.start()
        acks = await pouring

        ids = [ack["message"]["id"] for ack in acks]
        assert len(set(ids)) == MESSAGES
        for client in (near, far):
            async with asyncio.timeout(PATIENCE):
                await client.wait_for("chat-message", count=MESSAGES)
            heard = [m["id"] for m in client.received("chat-message")]
            assert sorted(heard) == sorted(ids), "each once"
            numbers = [m["seq"] for m in client.received("chat-message")]
            assert numbers == sorted(numbers), "in the order of the space"
        assert await stored_ids(rest, "broker-restart") == [m["id"] for m in far.received("chat-message")]

        def bodies() -> set[str]:
            return {msgspec.json.decode(r.body)["data"]["id"] for r in sink.received}

        await eventually(lambda: bodies() >= set(ids))
        of_event = {(msgspec.json.decode(r.body)["data"]["id"], r.headers["webhook-id"]) for r in sink.received}
        assert len(of_event) == MESSAGES, "a retry keeps its webhook-id"


async def stored_ids(rest: Rest, space: str) -> list[str]:
    """Everything GET messages gives, page by page, oldest first."""
    ids: list[str] = []
    page = await rest.get(f"/api/chat/event/{space}/messages?limit=200")
    while True:
        ids = [*(m["id"] for m in page["messages"]), *ids]
        if not page["next_cursor"]:
            return ids
        page = await rest.get(f"/api/chat/event/{space}/messages?limit=200&cursor={page['next_cursor']}")
