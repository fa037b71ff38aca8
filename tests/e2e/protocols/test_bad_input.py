"""Forged, expired, oversized and malformed: the contract's error each time, and the service goes on."""

from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.stack import Stack
from tests.support import halls
from tests.support.node import Node
from tests.support.people import Rest
from tests.support.stack_tokens import signed_token
from tests.support.waiting import eventually
from tests.support.whole import one_more_replica

WEBSOCKET_ONLY = {"transports": ["websocket"]}


def altered(token: str, key: Ed25519PrivateKey | None = None, **claims: Any) -> str:
    """The token with other claims, signed with another key, or with its old signature."""
    header, payload = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    forged = jwt.encode({**payload, **claims}, key or Ed25519PrivateKey.generate(), "EdDSA", headers=header)
    return forged if key else ".".join([*forged.split(".")[:2], token.split(".")[2]])


@pytest.fixture
async def bad_tokens(rest: Rest) -> dict[str, str]:
    token = await rest.token("alice")
    header, payload = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    return {
        "forged claims": altered(token, sub="account:bob"),
        "wrong key": altered(token, Ed25519PrivateKey.generate()),
        "unknown kid": jwt.encode(payload, Ed25519PrivateKey.generate(), "EdDSA", headers={**header, "kid": "x"}),
        "no signature": jwt.encode(payload, None, "none", headers={"kid": header["kid"]}),  # type: ignore[arg-type]
        "public key as a shared secret": jwt.encode(payload, "s" * 32, "HS256", headers={"kid": header["kid"]}),
        "not a token": "junk",
        "too long": "a" * 5000,
    }


async def test_bad_tokens_are_refused_over_rest_and_sockets(
    stack: Stack, rest: Rest, node: Node, bad_tokens: dict[str, str]
) -> None:
    for name, token in bad_tokens.items():
        status, body, _ = await rest.ask("GET", "/api/auth/me", token=token)
        assert (status, body["code"]) == (401, "unauthorized"), name
        with pytest.raises(ConnectionRefusedError) as refusal:
            await node.connect(name, stack.url, {**WEBSOCKET_ONLY, "auth": {"token": token}, "reconnection": False})
        assert refusal.value.args[0]["data"]["code"] == "unauthorized", name
    assert (await rest.get("/health"))["status"] == "ok"


async def test_an_expired_token_says_so(stack: Stack, rest: Rest, node: Node) -> None:
    """Signed with the real key, which the test reads from the database as spaces_auth does."""
    token = await signed_token(stack, "alice", -10)
    status, body, _ = await rest.ask("GET", "/api/auth/me", token=token)
    assert (status, body["code"]) == (401, "session_expired")
    with pytest.raises(ConnectionRefusedError) as refusal:
        await node.connect("late", stack.url, {**WEBSOCKET_ONLY, "auth": {"token": token}, "reconnection": False})
    assert refusal.value.args[0]["data"]["code"] == "session_expired"


async def test_a_live_socket_is_told_when_its_token_runs_out(stack: Stack, node: Node) -> None:
    token = await signed_token(stack, "alice", 3)
    client = await node.connect("alice", stack.url, {**WEBSOCKET_ONLY, "auth": {"token": token}})
    await client.join("event", "expiring")
    await client.wait_for("space-error", lambda error: error["code"] == "session_expired")
    await client.wait_for("disconnect")


async def test_a_claimed_account_without_a_token_is_a_guest(stack: Stack, rest: Rest, node: Node) -> None:
    status, body, _ = await rest.ask("GET", "/api/auth/me", token=":alice")
    assert (status, body["kind"], body["account"]) == (200, "guest", None)
    watcher = await node.connect("watcher", stack.url, WEBSOCKET_ONLY)
    await watcher.join("event", "claims")
    liar = await node.connect("liar", stack.url, {**WEBSOCKET_ONLY, "auth": {"userAccount": "alice"}})
    await liar.join("event", "claims", userAccount="alice")
    seen = await watcher.wait_for("user-joined")
    assert (seen["userAccount"], seen["guest"]) == (None, True)
    ack = await liar.emit("chat-message", {"content": "I am alice", "user_account": "alice"})
    assert (ack["message"]["user_account"], ack["message"]["guest"]) == (None, True)
    assert "alice" not in ack["message"]["display_name"]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"{bad json", 400, "invalid_input"),
        (b'{"content": NaN}', 400, "invalid_input"),
        (b"[" * 60_000, 400, "invalid_input"),
        (b'["not an object"]', 400, "invalid_input"),
        (b'{"content": 5}', 400, "invalid_input"),
        (b'{"content": ""}', 400, "invalid_input"),
        (b'{"content": "' + b"x" * 2001 + b'"}', 400, "invalid_input"),
        (b'{"content": "' + b"x" * 70_000 + b'"}', 413, "too_large"),
        (b"\xff\xfe", 400, "invalid_input"),
    ],
)
async def test_bad_bodies_get_the_contracts_error(stack: Stack, sent: bytes, status: int, code: str) -> None:
    url = f"{stack.url}/api/chat/global/lobby/messages"
    async with aiohttp.ClientSession() as session, session.post(url, data=sent) as response:
        body = await response.json()
        assert (response.status, body["code"]) == (status, code)
        assert body["error"]
        assert body["request_id"] == response.headers["X-Request-Id"]


async def test_a_validation_error_names_every_bad_field(rest: Rest) -> None:
    _, body, _ = await rest.ask("POST", "/api/chat/global/lobby/messages", {"content": 5, "message_type": "A b"})
    assert body["details"]["fields"].keys() == {"content", "message_type"}


async def test_unknown_fields_and_content_types_are_no_obstacle(stack: Stack) -> None:
    url = f"{stack.url}/api/chat/event/lenient/messages"
    headers = {"Content-Type": "text/plain"}
    sent = b'{"content": "hello", "from_the_future": {"a": 1}}'
    async with aiohttp.ClientSession() as session, session.post(url, data=sent, headers=headers) as response:
        assert response.status == 201


async def test_bad_packets_on_a_socket_are_answered_and_survived(stack: Stack, node: Node) -> None:
    client = await node.connect("clumsy", stack.url, WEBSOCKET_ONLY)
    await client.join("event", "packets")
    refused = {
        "wrong type": await client.emit("chat-message", {"content": 5}),
        "no object": await client.emit("chat-message", "hello"),
        "no payload": await client.emit("chat-message"),
        "too long": await client.emit("chat-message", {"content": "x" * 2001}),
        "bad space": await client.emit("join-space", {"spaceType": "planet", "spaceId": "x"}),
        "bad id": await client.emit("join-space", {"spaceType": "post", "spaceId": "../etc/passwd"}),
        "no such space": await client.emit("join-space", {"spaceType": "post", "spaceId": "alice/nothing-here"}),
        "hidden space": await client.emit("join-space", {"spaceType": "post", "spaceId": "carol/not-for-you"}),
        "bad pose": await client.emit("aframe-update", {"position": {"x": "left"}}),
        "far pose": await client.emit("aframe-update", {"position": {"x": 1e308}}),
        "oversized": await client.emit("chat-message", {"content": "x" * 70_000}),
    }
    codes = {name: ack["code"] for name, ack in refused.items()}
    assert codes == dict.fromkeys(refused, "invalid_input") | {
        "no such space": "not_found",
        "hidden space": "not_found",
        "oversized": "too_large",
    }
    await client.raw('2["chat-message",{bad json')
    await client.wait_for("space-error", lambda e: e["error"] == "The packet could not be read.")
    await client.raw('2["chat-message",' + "[" * 50_000)
    await client.raw("9what")
    ack = await client.emit("chat-message", {"content": "still connected, and where it was"})
    assert (ack["ok"], ack["message"]["space_id"]) == (True, "packets")


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    "packet",
    [
        '2["entity-event",{"name":"bad","data":1e400}]',
        '2["entity-event",{"name":"bad","data":' + nested(101) + "}]",
        '2["entity-event",{"name":"bad","data":' + nested(1488) + "}]",
        '2["aframe-update",{"position":{"x":1},"entities":{"bad":' + nested(1486) + "}}]",
        '2["broadcast",{"type":"bad","data":' + nested(1485) + "}]",
        '2["avatar-update",{"avatar_data":' + nested(1000) + "}]",
    ],
    ids=["number", "deep", "deeper", "pose", "networked-aframe", "avatar"],
)
async def test_a_packet_that_others_could_not_read_is_refused_where_it_is_sent(
    stack: Stack, node: Node, packet: str
) -> None:
    """A reader that fails would take what everybody else says with it."""
    near = await node.connect_to("r1", "near", stack.url, WEBSOCKET_ONLY)
    far = await node.connect_to("r2", "far", stack.url, WEBSOCKET_ONLY)
    hall = halls.fresh()
    await near.join("event", hall)
    await far.join("event", hall)
    await near.raw(packet)
    assert (await near.wait_for("space-error"))["code"] == "invalid_input"
    assert (await near.emit("entity-event", {"name": "fine", "data": '"[{' * 200}))["ok"]
    assert (await far.wait_for("entity-event"))["name"] == "fine"
    assert not far.received("aframe-update")


async def test_a_private_document_is_not_there_for_strangers(rest: Rest) -> None:
    carol, alice = await rest.token("carol"), await rest.token("alice")
    for path in ("/api/spaces/document/123", "/api/chat/document/123/messages"):
        status, body, _ = await rest.ask("GET", path, token=carol)
        missing, nothing, _ = await rest.ask("GET", path.replace("123", "999999"), token=carol)
        assert (status, body["code"], body["error"]) == (missing, nothing["code"], nothing["error"])
        assert status == 404
        assert (await rest.ask("GET", path, token=alice))[0] == 200


async def test_an_admission_opens_its_own_space_only(stack: Stack, rest: Rest, node: Node) -> None:
    token = (await rest.post("/api/spaces/post/alice/my-360-photo/join", {}))["session_token"]
    client = await node.connect("admitted", stack.url, {**WEBSOCKET_ONLY, "auth": {"token": token}})
    ack = await client.emit("join-space", {"spaceType": "global", "spaceId": "lobby"})
    assert ack["code"] == "forbidden"
    await client.join("post", "alice/my-360-photo")


async def test_a_flood_of_joins_is_told_that_it_is_one(stack: Stack, node: Node) -> None:
    """Each is told to everybody in the space, and kept."""
    space = {"spaceType": "event", "spaceId": "revolving-door"}
    async with one_more_replica(stack, "joins", PRESENCE_RATE_LIMIT_FACTOR="1") as replica:
        client = await node.connect("in and out", replica.url, WEBSOCKET_ONLY)
        acks = await client.burst("join-space", [space] * 40)
        assert {ack.get("code") for ack in acks} == {None, "rate_limited"}
        refused = await client.burst("joinRoom", [{"room": "event:revolving-door:main"}] * 40)
        assert "rate_limited" in {ack.get("code") for ack in refused}

        async def may_again() -> bool:
            return bool((await client.emit("join-space", space))["ok"])

        await eventually(may_again)


async def test_a_foreign_origin_is_refused(stack: Stack, node: Node) -> None:
    with pytest.raises(ConnectionRefusedError):
        await node.connect(
            "foreign",
            stack.url,
            {**WEBSOCKET_ONLY, "extraHeaders": {"Origin": "https://evil.example"}, "reconnection": False},
        )
    async with aiohttp.ClientSession() as session:
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        async with session.options(f"{stack.url}/api/spaces", headers=headers) as response:
            assert "Access-Control-Allow-Origin" not in response.headers
        headers["Origin"] = "https://dlux.io"
        async with session.options(f"{stack.url}/api/spaces", headers=headers) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "https://dlux.io"
