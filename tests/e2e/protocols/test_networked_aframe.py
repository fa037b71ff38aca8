"""networked-aframe's `socketio` adapter, in the same rooms as everyone: by its messages, and itself in Chromium."""

from functools import partial
from typing import Any

import pytest

from deploy.local.guardian import REPOSITORY
from deploy.local.stack import Stack
from tests.support.browser import Browser, Page, script, text
from tests.support.node import Node
from tests.support.waiting import eventually

MODULES = REPOSITORY / "node_modules"
PATH = "/a-room-of-networked-aframe"
LIBRARIES = {
    f"{PATH}/aframe.js": script(MODULES / "aframe/dist/aframe-v1.8.0.min.js"),
    f"{PATH}/socket.io.js": script(MODULES / "socket.io-client/dist/socket.io.min.js"),
    f"{PATH}/naf.js": script(MODULES / "networked-aframe/dist/networked-aframe.min.js"),
}
# The scene of networked-aframe's own documentation, with the adapter named as any user would.
SCENE = """<!doctype html>
<script src="{path}/aframe.js"></script><script src="{path}/socket.io.js"></script><script src="{path}/naf.js"></script>
<a-scene networked-scene="adapter: socketio; serverURL: {server}; room: {room}" xr-mode-ui="enabled: false">
  <template id="avatar"><a-entity><a-sphere scale="0.4 0.5 0.4"></a-sphere></a-entity></template>
  <a-entity id="rig" networked="template: #avatar; attachTemplateToLocal: false" wasd-controls="fly: true">
    <a-entity camera position="0 1.6 0"></a-entity>
  </a-entity>
</a-scene>"""
OTHERS = """Object.values(NAF.entities.entities).filter((entity) => !entity.components.networked.isMine())
  .map((entity) => [entity.components.networked.data.creator, ...entity.object3D.position.toArray().map(Math.round)])"""

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


@pytest.mark.timeout(600)  # where Chromium is to be installed first
async def test_two_pages_see_each_other_move_also_after_a_replica_was_killed(stack: Stack, browser: Browser) -> None:
    room = "global:lobby:naf-in-chromium"
    server = stack.url.replace("http", "ws")
    scene = {PATH: text("text/html", SCENE.format(path=PATH, server=server, room=room))}
    one, two = [await browser.open(name, stack.url, PATH, LIBRARIES | scene) for name in ("one", "two")]
    await see_each_other_move(one, two, (3, 0, -4), (-2, 1, 5))
    await one.hold_key("w", "document.querySelector('#rig').object3D.position.z < -8")
    await eventually(lambda: sees(two, one, lambda place: place[2] < -7))

    replica = str(await my_id(one)).partition("-")[0]
    before = await my_id(one)
    await stack.kill(replica)
    try:
        await eventually(lambda: is_elsewhere(one, before))
        await see_each_other_move(one, two, (7, 0, 7), (-7, 0, -7))
    finally:
        await stack.start_one(replica)
    for page in (one, two):
        assert not [line for line in await page.log() if line.startswith("uncaught")], await page.log()


async def see_each_other_move(one: Page, two: Page, of_one: tuple[int, ...], of_two: tuple[int, ...]) -> None:
    for page, other, (x, y, z) in ((one, two, of_one), (two, one, of_two)):
        await page.evaluate(f"document.querySelector('#rig').setAttribute('position', '{x} {y} {z}')")
        await eventually(partial(sees, other, page, [x, y, z].__eq__))


async def sees(viewer: Page, other: Page, test: Any) -> bool:
    """Whether the only avatar in the viewer's scene is the other's, in a place that passes the test."""
    shown = await viewer.evaluate(OTHERS)
    return len(shown) == 1 and shown[0][0] == await my_id(other) and test(shown[0][1:])


async def my_id(page: Page) -> Any:
    return await page.evaluate("NAF.clientId")


async def is_elsewhere(page: Page, before: str) -> bool:
    return await my_id(page) not in ("", before)
