"""The main job, walked end to end through Caddy with real JavaScript clients."""

import base64
import hashlib
import hmac
from typing import Any

import msgspec
from standardwebhooks import Webhook

from deploy.local.stack import Stack
from tests.support.node import Node
from tests.support.people import Rest
from tests.support.webhook_sink import Received, WebhookSink

SPACE = "post/bob/sculpture-hall"
WEBSOCKET_ONLY = {"transports": ["websocket"]}
FROM_ANOTHER_ORIGIN = {"transports": ["polling", "websocket"], "extraHeaders": {"Origin": "https://dlux.io"}}


def body(request: Received) -> Any:
    return msgspec.json.decode(request.body)


async def test_the_whole_path_from_content_to_webhook(stack: Stack, rest: Rest, node: Node) -> None:
    listed = await rest.get("/api/spaces?type=art&limit=200")
    assert "bob/sculpture-hall" in [space["space_id"] for space in listed["spaces"]]

    bob, dave = await rest.token("bob"), await rest.token("dave")
    async with WebhookSink() as sink:
        made = await rest.post(
            "/api/webhooks/subscribe",
            {
                "space_type": "post",
                "space_id": "bob/sculpture-hall",
                "webhook_url": sink.url,
                "events": ["chat", "join", "leave"],
            },
            bob,
        )

        admission = await rest.post(f"/api/spaces/{SPACE}/join", {"subspace": "main"}, dave)
        assert (admission["role"], admission["websocket_url"]) == ("visitor", stack.url.replace("http", "ws"))

        near = await node.connect_to(
            "r1", "near", stack.url, {**WEBSOCKET_ONLY, "auth": {"token": admission["session_token"]}}
        )
        far = await node.connect_to("r2", "far", stack.url, FROM_ANOTHER_ORIGIN)
        assert (await far.wait_for("upgrade"))["transport"] == "websocket"

        await near.join("post", "bob/sculpture-hall", userAccount="dave", position={"x": 1, "y": 0, "z": 2})
        joined = await near.wait_for("space-joined")
        assert (joined["success"], joined["role"], joined["users"]) == (True, "visitor", [])

        entered = await far.join("post", "bob/sculpture-hall", userAccount="bob")
        [seen] = entered["users"]
        assert (seen["userAccount"], seen["guest"], seen["position"]) == ("dave", False, {"x": 1, "y": 0, "z": 2})
        guest = await near.wait_for("user-joined")
        assert (guest["socketId"], guest["userAccount"], guest["guest"]) == (far.sid, None, True)

        await near.send("aframe-update", {"position": {"x": 3, "y": 1, "z": 4}, "rotation": {"x": 0, "y": 90, "z": 0}})
        pose = await far.wait_for("aframe-update")
        assert (pose["socketId"], pose["userAccount"]) == (near.sid, "dave")
        assert pose["entityData"]["position"] == {"x": 3, "y": 1, "z": 4}

        ack = await near.emit("chat-message", {"content": "Hello from VR! 👋", "type": "text"})
        assert ack["ok"]
        for client in (near, far):
            message = await client.wait_for("chat-message", lambda m: m["id"] == ack["message"]["id"])
            assert message == ack["message"]
        stored = await rest.get(f"/api/chat/{SPACE}/messages")
        assert ack["message"] in stored["messages"]

        chat = (await sink.wait_for(1, lambda r: body(r)["event"] == "chat"))[0]
        check_webhook(chat, made["secret"], ack["message"])

        await near.disconnect()
        left = await far.wait_for("user-left")
        assert (left["socketId"], left["userAccount"], left["reason"]) == (near.sid, "dave", "disconnected")
        await sink.wait_for(1, lambda r: body(r)["event"] == "leave" and body(r)["data"]["user_account"] == "dave")
        joins = await sink.wait_for(2, lambda r: body(r)["event"] == "join")
        assert {body(r)["data"]["user_account"] for r in joins} == {"dave", None}

        after = await far.emit("chat-message", {"content": "still here"})
        await far.wait_for("chat-message", lambda m: m["id"] == after["message"]["id"])
        for client in (near, far):
            once = [m["id"] for m in client.received("chat-message")]
            assert len(once) == len(set(once))
        await far.disconnect()


def check_webhook(request: Received, secret: str, message: dict[str, Any]) -> None:
    """By the library that a consumer would use, and by the plain header `X-DLUX-Signature`."""
    assert Webhook(secret).verify(request.body, dict(request.headers))
    sent = body(request)
    assert (sent["event"], sent["type"], sent["space_type"], sent["space_id"]) == (
        "chat", "chat", "post", "bob/sculpture-hall",
    )  # fmt: skip
    assert sent["id"] == request.headers["webhook-id"]
    assert sent["sequence"] == message["seq"]
    assert (sent["data"]["message"], sent["data"]["user_account"]) == (message["content"], "dave")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert request.headers["x-dlux-signature"] == f"sha256={hmac.new(key, request.body, hashlib.sha256).hexdigest()}"


async def test_both_namespaces_lead_to_the_same_space(stack: Stack, node: Node) -> None:
    """`io('wss://host/socket.io/')` asks for the namespace `/socket.io/`."""
    plain = await node.connect("plain", stack.url, WEBSOCKET_ONLY)
    named = await node.connect("named", f"{stack.url}/socket.io/", WEBSOCKET_ONLY)
    await plain.join("global", "lobby", subspace="namespaces")
    await named.join("global", "lobby", subspace="namespaces")
    assert (await plain.wait_for("user-joined"))["socketId"] == named.sid
    ack = await named.emit("chat-message", {"content": "over here"})
    assert await plain.wait_for("chat-message") == ack["message"]
    assert await named.wait_for("chat-message") == ack["message"]


async def test_a_subspace_hears_nothing_of_another(stack: Stack, node: Node) -> None:
    one = await node.connect("one", stack.url, WEBSOCKET_ONLY)
    other = await node.connect("other", stack.url, WEBSOCKET_ONLY)
    await one.join("global", "lobby", subspace="left-wing")
    await other.join("global", "lobby", subspace="right-wing")
    await one.emit("chat-message", {"content": "only for the left"})
    ack = await other.emit("chat-message", {"content": "only for the right"})
    assert await other.wait_for("chat-message") == ack["message"]
    await one.wait_for("chat-message")
    assert [m["content"] for m in one.received("chat-message")] == ["only for the left"]
    assert other.received("user-joined") == []


async def test_whoever_rejoins_gets_what_was_missed_once_and_in_order(stack: Stack, node: Node) -> None:
    stays = await node.connect_to("r1", "stays", stack.url, WEBSOCKET_ONLY)
    goes = await node.connect_to("r2", "goes", stack.url, WEBSOCKET_ONLY)
    await stays.join("event", "rejoin")
    await goes.join("event", "rejoin")
    first = await stays.emit("chat-message", {"content": "before"})
    await goes.wait_for("chat-message", lambda m: m["id"] == first["message"]["id"])
    await goes.emit("leave-space", {})
    for number in range(5):
        await stays.emit("chat-message", {"content": f"missed {number}"})
    await goes.join("event", "rejoin", after_seq=first["message"]["seq"])
    last = await stays.emit("chat-message", {"content": "after"})
    await goes.wait_for("chat-message", lambda m: m["id"] == last["message"]["id"])
    heard = [m["content"] for m in goes.received("chat-message")]
    assert heard == ["before", *(f"missed {n}" for n in range(5)), "after"]


async def test_a_snapshot_and_what_followed_make_the_next_snapshot(stack: Stack, node: Node) -> None:
    watcher = await node.connect_to("r1", "watcher", stack.url, WEBSOCKET_ONLY)
    writer = await node.connect_to("r2", "writer", stack.url, WEBSOCKET_ONLY)
    await writer.join("event", "snapshots")
    await writer.burst("chat-message", [{"content": f"early {n}"} for n in range(10)])
    snapshot = await watcher.join("event", "snapshots")
    acks = await writer.burst("chat-message", [{"content": f"late {n}"} for n in range(20)])
    await watcher.wait_for("chat-message", count=20)
    newcomer = await node.connect("newcomer", stack.url, WEBSOCKET_ONLY)
    fresh = await newcomer.join("event", "snapshots")
    assert [*snapshot["messages"], *watcher.received("chat-message")] == fresh["messages"]
    assert {u["socketId"] for u in fresh["users"]} == {watcher.sid, writer.sid}
    assert fresh["seq"] >= max(ack["message"]["seq"] for ack in acks)
