"""Everything people write, as clients on two replicas see it."""

import asyncio
from typing import Any
from urllib.parse import quote

import msgspec

from deploy.local.stack import Stack
from libs.common.spaces import SpaceKey
from tests.support.late_replica import late_replica
from tests.support.node import Client, Node
from tests.support.people import Rest
from tests.support.waiting import eventually
from tests.support.webhook_sink import WebhookSink

WEBSOCKET_ONLY: dict[str, Any] = {"transports": ["websocket"]}
WRITERS, EACH = 50, 10


async def two_clients(stack: Stack, node: Node, space: str, **auth: str) -> tuple[Client, Client]:
    """One on each replica, in the same space."""
    options = {**WEBSOCKET_ONLY, "auth": auth}
    near = await node.connect_to("r1", f"near {space}", stack.url, options)
    far = await node.connect_to("r2", f"far {space}", stack.url, options)
    for client in (near, far):
        await client.join("event", space)
    await near.wait_for("user-joined", lambda user: user["socketId"] == far.sid)
    return near, far


async def test_ten_times_at_once_over_rest_and_sockets_is_one_message(stack: Stack, rest: Rest, node: Node) -> None:
    token = await rest.token("alice")
    near, far = await two_clients(stack, node, "idempotent", token=token)
    command = {"content": "only once", "client_message_id": "the-same"}
    path = "/api/chat/event/idempotent/messages"
    answers = await asyncio.gather(
        *(rest.post(path, command, token) for _ in range(4)),
        *(client.emit("chat-message", command) for client in (near, far) for _ in range(3)),
    )
    messages = [answer["message"] for answer in answers]
    assert all(message == messages[0] for message in messages), "ten equal answers"
    last = await far.emit("chat-message", {"content": "next"})
    for client in (near, far):
        await client.wait_for("chat-message", lambda m: m["id"] == last["message"]["id"])
        assert [m["content"] for m in client.received("chat-message")] == ["only once", "next"], "one event"
    assert (await rest.get(path))["messages"] == [messages[0], last["message"]]


async def test_a_guest_without_a_token_may_try_again_too(rest: Rest) -> None:
    path, command = "/api/chat/event/retried/messages", {"content": "only once", "client_message_id": "the-same"}
    first, again = [(await rest.post(path, command))["message"] for _ in range(2)]
    assert first == again
    assert (await rest.get(path))["messages"] == [first]


async def test_the_order_is_the_same_everywhere_under_fifty_writers(stack: Stack, rest: Rest, node: Node) -> None:
    """A replica that is late with its share of the events has the others overtake it: else all come in order."""
    near, far = await two_clients(stack, node, "crowd")
    guests = [await rest.post("/api/auth/guest", {"display_name": f"writer {n}"}) for n in range(WRITERS)]

    async def write(number: int, token: str) -> None:
        for turn in range(EACH):
            body = {"content": f"{number}/{turn}", "client_message_id": f"c{turn}"}

            async def taken(body: dict[str, str] = body) -> bool:
                """As a client does: what is `unavailable` on a busy machine is sent again, as the same command."""
                status, answer, _ = await rest.ask("POST", "/api/chat/event/crowd/messages", body, token)
                assert status in (201, 503), answer
                return status == 201

            await eventually(taken)

    urls = stack.settings["PRESENCE_AMQP_URL"], stack.settings["PRESENCE_REDIS_URL"]
    async with late_replica(*urls, SpaceKey("event", "crowd")) as late:
        await asyncio.gather(*(write(number, guest["token"]) for number, guest in enumerate(guests)))
        await eventually(lambda: len(set(late.seqs)) >= WRITERS * EACH)  # the two arrivals may be among them
    assert late.seqs != sorted(late.seqs), "the channel carried them out of order"
    stored: list[str] = []
    page = await rest.get("/api/chat/event/crowd/messages?limit=200")
    while page["messages"]:
        stored = [*(m["content"] for m in page["messages"]), *stored]
        if not page["next_cursor"]:
            break
        page = await rest.get(f"/api/chat/event/crowd/messages?limit=200&cursor={page['next_cursor']}")
    assert len(stored) == len(set(stored)) == WRITERS * EACH
    for client in (near, far):
        await client.wait_for("chat-message", count=WRITERS * EACH)
        heard = client.received("chat-message")
        assert [m["seq"] for m in heard] == sorted({m["seq"] for m in heard}), "each once, in order"
        assert [m["content"] for m in heard] == stored


async def test_edits_reactions_and_deletions_reach_everybody(stack: Stack, rest: Rest, node: Node) -> None:
    alice = await rest.token("alice")
    near, far = await two_clients(stack, node, "changes", token=alice)
    ack = await near.emit("chat-message", {"content": "helo"})
    about = {"messageId": ack["message"]["id"]}

    edited = await near.emit("chat-edit", {**about, "content": "hello"})
    assert (edited["ok"], edited["message"]["content"], edited["message"]["is_edited"]) == (True, "hello", True)
    assert (await far.wait_for("chat-message-edited"))["content"] == "hello"

    reacted = await far.emit("chat-reaction", {**about, "reaction": "👍"})
    assert reacted["reactions"] == {"👍": {"count": 1, "by": ["alice"]}}
    for client in (near, far):
        told = await client.wait_for("chat-reaction")
        assert (told["messageId"], told["reactions"]) == (about["messageId"], reacted["reactions"])
    path = f"/api/chat/messages/{about['messageId']}"
    _, body, _ = await rest.ask("DELETE", f"{path}/reactions/{quote('👍')}", token=alice)
    assert body["reactions"] == {}
    _, body, _ = await rest.ask("PUT", f"{path}/reactions/{quote('👩‍👩‍👧')}", token=alice)
    assert list(body["reactions"]) == ["👩‍👩‍👧"]

    assert (await rest.get(f"{path}/history"))["edits"][0]["content"] == "helo"
    deleted = await near.emit("chat-delete", about)
    assert (deleted["ok"], deleted["message"]["content"]) == (True, None)
    assert (await far.wait_for("chat-message-deleted"))["id"] == about["messageId"]
    assert (await rest.get(f"{path}/history"))["edits"] == []


async def test_a_deleted_message_does_not_come_back_to_a_member_who_rejoins(
    stack: Stack, rest: Rest, node: Node
) -> None:
    near, far = await two_clients(stack, node, "deleted", token=await rest.token("alice"))
    start = await near.emit("chat-message", {"content": "start"})
    await far.emit("leave-space", {})
    secret = await near.emit("chat-message", {"content": "secret"})
    await near.emit("chat-delete", {"messageId": secret["message"]["id"]})
    await far.join("event", "deleted", after_seq=start["message"]["seq"])
    await far.wait_for("chat-message-deleted")
    assert "secret" not in str(far.events)


async def test_a_mention_reaches_the_account_wherever_it_is(stack: Stack, rest: Rest, node: Node) -> None:
    bob = await rest.token("bob")
    options = {**WEBSOCKET_ONLY, "auth": {"token": bob}}
    here = await node.connect_to("r1", "bob here", stack.url, options)
    there = await node.connect_to("r2", "bob there", stack.url, options)
    other = await node.connect("somebody else", stack.url, WEBSOCKET_ONLY)
    await here.join("event", "elsewhere")  # the other socket is in no space at all
    alice = await rest.token("alice")
    made = await rest.post("/api/chat/global/lobby/messages", {"content": "hi @bob"}, alice)
    for client in (here, there):
        told = await client.wait_for("mention")
        assert (told["message_id"], told["by"], told["kind"]) == (made["message"]["id"], "alice", "mention")
    found = await rest.get("/api/notifications?unread=true", bob)
    assert found["notifications"][0]["message_id"] == made["message"]["id"]
    read = await rest.post("/api/notifications/read", {}, bob)
    assert read["read"] >= 1
    assert other.received("mention") == []


async def test_reading_over_the_socket_moves_the_cursor(stack: Stack, rest: Rest, node: Node) -> None:
    alice, dave = await rest.token("alice"), await rest.token("dave")
    near, _ = await two_clients(stack, node, "cursors", token=dave)
    made = [await rest.post("/api/chat/event/cursors/messages", {"content": str(n)}, alice) for n in range(3)]
    ack = await near.emit("chat-read", {"messageId": made[1]["message"]["id"]})
    assert (ack["ok"], ack["unread"]) == (True, 1)
    assert (await rest.get("/api/chat/event/cursors/subscription", dave))["unread"] == 1
    status, _, _ = await rest.ask("PUT", "/api/chat/event/cursors/subscription", {"level": "none"}, dave)
    assert status == 200


async def test_a_comment_reaches_people_in_the_documents_space_and_its_webhooks(
    stack: Stack, rest: Rest, node: Node
) -> None:
    alice, bob = await rest.token("alice"), await rest.token("bob")
    reader = await node.connect("reader", stack.url, {**WEBSOCKET_ONLY, "auth": {"token": bob}})
    await reader.join("document", "123")
    path = "/api/documents/123/comments"
    async with WebhookSink() as sink:
        subscription = {
            "space_type": "document", "space_id": "123", "webhook_url": sink.url,
            "events": ["comment", "reaction", "moderation"],
        }  # fmt: skip
        await rest.post("/api/webhooks/subscribe", subscription, bob)
        place = {"x": 1, "y": 2.5, "z": 0}
        comment = {"content": "why?", "comment_type": "question", "section": "intro", "position": place}
        made = (await rest.post(path, comment, alice))["comment"]
        told = await reader.wait_for("document-comment")
        assert (told["action"], told["comment"]) == ("posted", made)
        assert (await rest.post(f"{path}/{made['id']}/resolve", {}, bob))["comment"]["resolved"]
        await reader.wait_for("document-comment", lambda event: event["action"] == "resolved")
        for token in (None, await rest.token("carol")):
            status, _, _ = await rest.ask("GET", path, token=token)
            assert status == 404

        message = (await rest.post("/api/chat/document/123/messages", {"content": "spam"}, alice))["message"]
        await rest.ask("PUT", f"/api/chat/messages/{message['id']}/reactions/{quote('👎')}", token=bob)
        await rest.ask("DELETE", f"/api/chat/messages/{message['id']}", {"reason": "spam"}, token=bob)
        bodies = [msgspec.json.decode(request.body) for request in await sink.wait_for(4)]
    assert sorted(body["event"] for body in bodies) == ["comment", "comment", "moderation", "reaction"]
    moderation = next(body for body in bodies if body["event"] == "moderation")
    assert (moderation["data"]["message_id"], moderation["data"]["reason"]) == (message["id"], "spam")


async def test_an_admission_opens_messages_and_comments_of_its_own_space_only(stack: Stack, rest: Rest) -> None:
    alice = await rest.token("alice")
    admission = (await rest.post("/api/spaces/event/admitted/join", {}, alice))["session_token"]
    inside = (await rest.post("/api/chat/event/admitted/messages", {"content": "in"}, admission))["message"]
    outside = (await rest.post("/api/chat/event/other/messages", {"content": "out"}, alice))["message"]
    for message, expected in ((inside, 200), (outside, 404)):
        path = f"/api/chat/messages/{message['id']}"
        for method, url, body in (
            ("GET", path, None), ("GET", f"{path}/thread", None), ("GET", f"{path}/history", None),
            ("PATCH", path, {"content": "changed"}), ("PUT", f"{path}/reactions/{quote('👍')}", None),
            ("DELETE", f"{path}/reactions/{quote('👍')}", None), ("DELETE", path, None),
        ):  # fmt: skip
            status, _, _ = await rest.ask(method, url, body, admission)
            assert status == expected, (method, url)
    status, _, _ = await rest.ask("GET", "/api/documents/124/comments", token=admission)
    assert status == 403
