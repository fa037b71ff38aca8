"""npm's socket.io-client, unchanged, on every transport; and when its replica dies under it."""

import base64
from typing import Any

import pytest

from deploy.local.stack import Stack
from tests.support.node import Client, Node

TRANSPORTS: dict[str, dict[str, Any]] = {
    "polling": {"transports": ["polling"]},
    "websocket": {"transports": ["websocket"]},
    "upgrade": {},  # polls, then goes over to a WebSocket: what every client does that sets nothing
}
BRISK = {"reconnectionDelay": 100, "reconnectionDelayMax": 500}
SAID = 'ж 日本語 🙂 \\ " </script> é'
MOVED = SAID + " \u2028 \x00 \x7f"  # what chat would not take as words
BYTES = bytes(range(256))


async def connected(node: Node, name: str, url: str, how: str) -> Client:
    client = await node.connect(name, url, TRANSPORTS[how] | BRISK)
    if how == "upgrade":
        assert (await client.wait_for("upgrade"))["transport"] == "websocket"
    else:
        assert client.received("connect")[0]["transport"] == how
    return client


@pytest.mark.parametrize("how", TRANSPORTS)
async def test_acks_and_words_of_any_script_on_every_transport(stack: Stack, node: Node, how: str) -> None:
    one, two = [await connected(node, name, stack.url, how) for name in ("one", "two")]
    for client in (one, two):
        await client.join("event", f"real-clients-{how}")
    said = (await one.emit("chat-message", {"content": SAID}))["message"]
    assert said["content"] == SAID
    assert (await two.wait_for("chat-message"))["content"] == SAID
    acks = await two.burst("entity-event", [{"name": "move", "data": [number, MOVED]} for number in range(50)])
    assert acks == [{"ok": True}] * 50
    await one.wait_for("entity-event", count=50)
    assert [event["data"] for event in one.received("entity-event")] == [[number, MOVED] for number in range(50)]
    await two.disconnect()
    await one.wait_for("user-left")


@pytest.mark.parametrize("how", TRANSPORTS)
async def test_binary_is_taken_on_every_transport_and_relayed_as_base64(stack: Stack, node: Node, how: str) -> None:
    one, two = [await connected(node, name, stack.url, how) for name in ("one", "two")]
    for client in (one, two):
        await client.join("event", f"binary-{how}")
    sent = {"name": "paint", "data": {"brush": {"$bytes": base64.b64encode(BYTES).decode()}, "x": 1}}
    assert (await one.emit("entity-event", sent))["ok"]
    told = await two.wait_for("entity-event")
    assert base64.b64decode(told["data"]["brush"]) == BYTES
    assert told["data"]["x"] == 1


@pytest.mark.parametrize("how", TRANSPORTS)
async def test_a_client_whose_replica_is_killed_comes_back_elsewhere_and_has_missed_nothing(
    stack: Stack, node: Node, how: str
) -> None:
    space = f"killed-{how}"
    teller = await node.connect_to("r2", f"teller-{how}", stack.url, {"transports": ["websocket"]})
    await teller.join("event", space)
    victim = await node.connect_to("r1", f"victim-{how}", stack.url, TRANSPORTS[how] | BRISK)
    await victim.join("event", space)
    await teller.emit("chat-message", {"content": "before"})
    seq = (await victim.wait_for("chat-message"))["seq"]
    await stack.kill("r1")
    try:
        await victim.wait_for("disconnect")
        for number in range(3):
            assert (await teller.emit("chat-message", {"content": f"missed {number}"}))["ok"]
        await victim.wait_for("connect", lambda connection: connection["sid"].startswith("r2-"))
        await victim.join("event", space, after_seq=seq)
        assert (await teller.emit("chat-message", {"content": "after"}))["ok"]
        await victim.wait_for("chat-message", lambda message: message["content"] == "after")
    finally:
        await stack.start_one("r1")
    heard = [message["content"] for message in victim.received("chat-message")]
    assert heard == ["before", "missed 0", "missed 1", "missed 2", "after"], "in order, none twice"
