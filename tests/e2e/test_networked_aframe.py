"""networked-aframe's `socketio` adapter: the events it sends and waits for, in the same rooms as everyone else."""

from deploy.local.stack import Stack
from tests.support.node import Node

WEBSOCKET_ONLY = {"transports": ["websocket"]}


async def test_adapters_on_two_replicas_and_a_native_client_share_a_room(stack: Stack, node: Node) -> None:
    native = await node.connect("native", stack.url, WEBSOCKET_ONLY)
    await native.join("post", "bob/sculpture-hall", subspace="naf")
    one = await node.connect_to("r1", "one", stack.url, WEBSOCKET_ONLY)
    two = await node.connect_to("r2", "two", stack.url, WEBSOCKET_ONLY)
    await one.send("joinRoom", {"room": "bob-sculpture-hall-naf"})
    assert (await one.wait_for("connectSuccess"))["joinedTime"] > 1_700_000_000_000
    await two.send("joinRoom", {"room": "post:bob/sculpture-hall:naf"})
    await two.wait_for("connectSuccess")
    everyone = {native.sid, one.sid, two.sid}
    for client in (one, two):
        await client.wait_for("occupantsChanged", lambda told: set(told["occupants"]) == everyone)
        names = [name for name, _ in client.events]
        assert names.index("connectSuccess") < names.index("occupantsChanged")
    await native.wait_for("user-joined", lambda user: user["socketId"] == two.sid)

    first = {"isFirstSync": True, "networkId": "abc", "lastOwnerTime": 1_700_000_000_123.5, "components": {"0": 1}}
    for number in range(20):
        await one.send("broadcast", {"from": "a liar", "type": "u", "data": {**first, "number": number}})
    await one.send("broadcast", {"type": "r", "data": {"networkId": "abc"}})
    removed = await two.wait_for("broadcast", lambda packet: packet["type"] == "r")
    assert removed == {"from": one.sid, "type": "r", "data": {"networkId": "abc"}}
    updates = [packet for packet in two.received("broadcast") if packet["type"] == "u"]
    assert [packet["data"] for packet in updates] == [{**first, "number": number} for number in range(20)]
    assert {packet["from"] for packet in updates} == {one.sid}

    await two.send("send", {"from": two.sid, "to": one.sid, "type": "um", "data": {"d": [first]}})
    answer = await one.wait_for("send")
    assert answer == {"from": two.sid, "to": one.sid, "type": "um", "data": {"d": [first]}}
    assert native.received("send") == two.received("send") == []

    gone = two.sid
    await two.disconnect()
    await one.wait_for("occupantsChanged", lambda told: set(told["occupants"]) == everyone - {gone})


async def test_a_room_that_nobody_may_see_is_not_there(stack: Stack, node: Node) -> None:
    client = await node.connect("client", stack.url, WEBSOCKET_ONLY)
    for room in ("carol-not-for-you", "nobody-has-written-this", "post:carol/not-for-you:main"):
        assert (await client.emit("joinRoom", {"room": room}))["code"] == "not_found"
    assert (await client.emit("broadcast", {"type": "u", "data": {}}))["code"] == "forbidden"
