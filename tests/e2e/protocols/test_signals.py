"""What members say to each other and nobody keeps, between two replicas, with real clients."""

from typing import Any

import pytest

from deploy.local.stack import Stack
from tests.support.node import Client, Node
from tests.support.people import Rest

WEBSOCKET_ONLY = {"transports": ["websocket"]}


async def a_pair(stack: Stack, node: Node, space: str, **second: Any) -> tuple[Client, Client]:
    """Two members on different replicas who know of each other."""
    one = await node.connect_to("r1", f"one {space}", stack.url, WEBSOCKET_ONLY)
    two = await node.connect_to("r2", f"two {space}", stack.url, WEBSOCKET_ONLY)
    await one.join("event", space)
    await two.join("event", space, **second)
    await one.wait_for("user-joined", lambda user: user["socketId"] == two.sid)
    return one, two


async def test_entity_events_arrive_in_order_and_none_is_merged(stack: Stack, node: Node) -> None:
    one, two = await a_pair(stack, node, "game")
    for number in range(0, 50, 2):
        await one.send("entity-event", {"name": "move", "data": {"piece": "knight", "number": number}})
        acked = await one.emit("entity-event", {"name": "move", "data": {"piece": "rook", "number": number + 1}})
        assert acked["ok"]
    await two.wait_for("entity-event", count=50)
    assert [event["data"]["number"] for event in two.received("entity-event")] == list(range(50))
    assert {event["socketId"] for event in two.received("entity-event")} == {one.sid}
    assert one.received("entity-event") == [], "nobody hears themselves"


async def test_spawned_entities_are_in_later_snapshots_until_removed_or_their_owner_leaves(
    stack: Stack, node: Node
) -> None:
    one, two = await a_pair(stack, node, "spawning")
    for name in ("cube", "ball", "cone"):
        assert (await one.emit("entity-event", {"name": "spawn", "data": {"id": name, "colour": "red"}}))["ok"]
    await two.wait_for("entity-event", count=3)
    assert (await one.emit("entity-event", {"name": "remove", "data": {"id": "ball"}}))["ok"]
    await two.wait_for("entity-event", lambda event: event["name"] == "remove")
    taken = await two.emit("entity-event", {"name": "spawn", "data": {"id": "cube"}})
    assert taken["code"] == "conflict"

    for replica in ("r1", "r2"):
        late = await node.connect_to(replica, f"late {replica}", stack.url, WEBSOCKET_ONLY)
        snapshot = await late.join("event", "spawning")
        assert sorted(entity["data"]["id"] for entity in snapshot["entities"]) == ["cone", "cube"]
        await late.disconnect()

    gone = one.sid
    await one.disconnect()
    await two.wait_for("user-left", lambda left: left["socketId"] == gone)
    after = await node.connect("after", stack.url, WEBSOCKET_ONLY)
    assert (await after.join("event", "spawning"))["entities"] == []


async def test_a_thing_has_one_holder_over_two_replicas_and_is_shown_to_late_joiners_as_it_is(
    stack: Stack, node: Node
) -> None:
    one, two = await a_pair(stack, node, "spawning")
    made = await one.emit("thing-make", {"id": "ball", "state": {"at": [0, 1, 0], "note": "é/ü"}})
    assert made["thing"]["creator"] is None, "a guest's"
    await two.wait_for("thing-made", lambda thing: thing == made["thing"])
    held = await two.emit("thing-hold", {"id": "ball"})
    assert (await one.emit("thing-hold", {"id": "ball"}))["details"] == {"holder": two.sid}
    changed = await two.emit("thing-set", {"id": "ball", "state": {"at": [3, 1, 0]}})
    await one.wait_for("thing-set", lambda told: told["socketId"] == two.sid and told["state"] == {"at": [3, 1, 0]})
    late = await node.connect_to("r1", "late", stack.url, WEBSOCKET_ONLY)
    state = {"at": [3, 1, 0], "note": "é/ü"}
    shown = {**held["thing"], "state": state, "version": changed["version"]}
    assert (await late.join("event", "spawning"))["things"] == [shown]
    await two.disconnect()
    released = await one.wait_for("thing-released", lambda told: told["id"] == "ball")
    assert released["holder"] is None
    assert (await one.emit("thing-remove", {"id": "ball"}))["ok"]


async def test_nobody_removes_or_overwrites_anothers_entity_by_telling_people_one_by_one(
    stack: Stack, node: Node
) -> None:
    one, two = await a_pair(stack, node, "spawning-aside")
    assert (await one.emit("entity-event", {"name": "spawn", "data": {"id": "cube"}}))["ok"]
    await two.wait_for("entity-event", lambda told: told["data"]["id"] == "cube")
    aside = {"data": {"id": "cube"}, "to": one.sid}
    assert (await two.emit("entity-event", {"name": "remove", **aside}))["code"] == "forbidden"
    assert (await two.emit("entity-event", {"name": "spawn", **aside}))["code"] == "conflict"
    assert one.received("entity-event") == []
    assert (await one.emit("entity-event", {"name": "remove", "data": {"id": "cube"}, "to": two.sid}))["ok"]


async def test_a_subspace_has_entities_of_its_own(stack: Stack, node: Node) -> None:
    one, two = await a_pair(stack, node, "stages", subspace="main")
    other = await node.connect("backstage", stack.url, WEBSOCKET_ONLY)
    await other.join("event", "stages", subspace="backstage")
    for client, colour in ((one, "red"), (other, "blue")):
        spawn = {"name": "spawn", "data": {"id": "cube", "colour": colour}}
        assert (await client.emit("entity-event", spawn))["ok"]
    await two.wait_for("entity-event")
    assert (await other.emit("entity-event", {"name": "remove", "data": {"id": "cube"}}))["ok"]
    for replica in ("r1", "r2"):
        late = await node.connect_to(replica, f"late at {replica}", stack.url, WEBSOCKET_ONLY)
        assert [e["data"]["colour"] for e in (await late.join("event", "stages"))["entities"]] == ["red"]
        assert (await late.join("event", "stages", subspace="backstage"))["entities"] == []


async def test_a_pose_stays_small_however_many_entities_were_told_of(stack: Stack, node: Node) -> None:
    """All of it goes to everyone whenever any of it changes."""
    one, two = await a_pair(stack, node, "hoard")
    for number in range(10):
        assert (await one.emit("aframe-update", {"entities": {f"e{number}": "x" * 5000}}))["ok"]
    assert (await one.emit("aframe-update", {"entities": {"big": "x" * 17_000}}))["code"] == "too_large"
    assert (await one.emit("aframe-update", {"position": {"x": 7, "y": 0, "z": 0}}))["ok"]
    pose = await two.wait_for("aframe-update", lambda pose: pose["entityData"].get("position"))
    assert pose["entityData"]["position"]["x"] == 7
    assert "e9" in pose["entityData"]["entities"]
    assert "big" not in pose["entityData"]["entities"]
    assert max(len(str(told["entityData"])) for told in two.received("aframe-update")) < 17_000


@pytest.mark.parametrize("feature", ["", "pose-batch", "pose-compact"])
async def test_further_fields_of_a_pose_are_carried_to_everybody_or_refused(
    stack: Stack, node: Node, feature: str
) -> None:
    space = f"costumes-{feature}"
    one, two = await a_pair(stack, node, space, features=[feature] if feature else [])
    pose = {
        "position": {"x": 1.0, "y": 0.0, "z": 0.0},
        "rotation": {"x": 0.0, "y": 90.0, "z": 0.0},
        "scale": {"x": 2},
        "animation": "wave",
    }
    await one.send("aframe-update", pose)  # the short way, without an ack
    if feature:
        await two.wait_for("aframe-batch", lambda told: [one.sid, pose] in told["poses"])
    else:
        await two.wait_for("aframe-update", lambda told: told["entityData"] == pose)
    assert (await one.emit("aframe-update", {"animation": "sit"}))["ok"]
    late = await node.connect_to("r2", f"late for {space}", stack.url, WEBSOCKET_ONLY)
    await late.join("event", space)
    await late.wait_for("aframe-update", lambda told: told["entityData"] == {**pose, "animation": "sit"})
    many = {f"field{number}": number for number in range(33)}
    assert (await one.emit("aframe-update", many))["code"] == "invalid_input"
    assert (await one.emit("aframe-update", {"animation": "x" * 17_000}))["code"] == "too_large"


async def test_a_bad_rejoin_leaves_one_where_one_was(stack: Stack, node: Node) -> None:
    one, two = await a_pair(stack, node, "stays")
    for number in (-1, 2**53 + 2, 1e18, 0.5, "1"):
        ack = await two.emit("join-space", {"spaceType": "event", "spaceId": "stays", "after_seq": number})
        assert ack["code"] == "invalid_input"
    assert (await two.emit("entity-event", {"name": "here", "data": 1}))["ok"]
    await one.wait_for("entity-event")
    assert one.received("user-left") == []


async def test_signalling_reaches_one_socket_of_the_same_space_only(stack: Stack, node: Node) -> None:
    one, two = await a_pair(stack, node, "voice")
    third = await node.connect("third", stack.url, WEBSOCKET_ONLY)
    await third.join("event", "voice")
    elsewhere = await node.connect("elsewhere", stack.url, WEBSOCKET_ONLY)
    await elsewhere.join("event", "another-space")
    await one.wait_for("user-joined", lambda user: user["socketId"] == third.sid)

    assert (await one.emit("webrtc-offer", {"targetSocketId": two.sid, "offer": {"sdp": "v=0"}}))["ok"]
    offer = await two.wait_for("webrtc-offer")
    assert offer == {"fromSocketId": one.sid, "fromUser": None, "media": "voice", "offer": {"sdp": "v=0"}}
    assert (await two.emit("webrtc-answer", {"targetSocketId": one.sid, "answer": {"sdp": "v=0"}}))["ok"]
    assert (await one.wait_for("webrtc-answer"))["answer"] == {"sdp": "v=0"}
    candidate = {"targetSocketId": two.sid, "candidate": {"candidate": "x"}, "media": "screen"}
    assert (await one.emit("webrtc-ice-candidate", candidate))["ok"]
    assert (await two.wait_for("webrtc-ice-candidate"))["media"] == "screen"

    for target in (elsewhere.sid, "r1-nobody"):
        refused = await one.emit("webrtc-offer", {"targetSocketId": target, "offer": {}})
        assert refused["code"] == "not_found"
    assert third.received("webrtc-offer") == elsewhere.received("webrtc-offer") == []


async def test_typing_voice_and_avatars_are_told_to_the_others(stack: Stack, node: Node) -> None:
    one, two = await a_pair(stack, node, "small-talk")
    assert (await one.emit("chat-typing", {}))["ok"]
    assert (await two.wait_for("chat-typing"))["typing"] is True
    assert (await one.emit("voice-state", {"enabled": True, "muted": True}))["ok"]
    state = await two.wait_for("voice-state")
    assert (state["socketId"], state["enabled"], state["muted"], state["speaking"]) == (one.sid, True, True, False)
    assert (await one.emit("avatar-update", {"avatar_data": {"hat": "red"}}))["ok"]
    assert (await two.wait_for("avatar-updated"))["avatar_data"] == {"hat": "red"}
    too_large = await one.emit("avatar-update", {"avatar_data": {"hat": "x" * 3000}})
    assert too_large["code"] == "invalid_input"
    late = await node.connect_to("r2", "late", stack.url, WEBSOCKET_ONLY)
    users = (await late.join("event", "small-talk"))["users"]
    assert {user["socketId"]: user["avatar_data"] for user in users}[one.sid] == {"hat": "red"}


async def test_partial_poses_add_up_and_a_newcomer_gets_the_whole(stack: Stack, node: Node) -> None:
    one, two = await a_pair(stack, node, "dancing")
    await one.send("aframe-update", {"position": {"x": 1, "y": 2, "z": 3}})
    await one.send("aframe-update", {"rotation": {"x": 0, "y": 90, "z": 0}, "entities": {"ball": {"x": 1}}})
    await one.send("aframe-update", {"entities": {"bat": {"x": 2}}})
    whole = {
        "position": {"x": 1.0, "y": 2.0, "z": 3.0},
        "rotation": {"x": 0.0, "y": 90.0, "z": 0.0},
        "entities": {"ball": {"x": 1}, "bat": {"x": 2}},
    }
    await two.wait_for("aframe-update", lambda pose: pose["entityData"] == whole)
    late = await node.connect("late", stack.url, {"transports": ["polling"]})
    snapshot = await late.join("event", "dancing")
    assert {user["socketId"]: user["position"] for user in snapshot["users"]}[one.sid] == {"x": 1, "y": 2, "z": 3}
    await late.wait_for("aframe-update", lambda pose: pose["socketId"] == one.sid and pose["entityData"] == whole)


async def test_pose_batch_is_one_packet_without_ones_own(stack: Stack, node: Node) -> None:
    one, two = await a_pair(stack, node, "batches", features=["pose-batch"])
    await two.send("aframe-update", {"position": {"x": 9, "y": 9, "z": 9}})
    await one.send("aframe-update", {"position": {"x": 1, "y": 0, "z": 0}})
    batch = await two.wait_for("aframe-batch", lambda b: b["poses"])
    assert batch["poses"] == [[one.sid, {"position": {"x": 1.0, "y": 0.0, "z": 0.0}}]]
    gone = one.sid
    await one.disconnect()
    await two.wait_for("aframe-batch", lambda b: gone in b["gone"])
    assert two.received("aframe-update") == []
    assert all(sid != two.sid for b in two.received("aframe-batch") for sid, _ in b["poses"])


async def test_a_refreshed_token_must_be_the_same_identitys(stack: Stack, rest: Rest, node: Node) -> None:
    login = await rest.login("alice")
    client = await node.connect("alice", stack.url, {**WEBSOCKET_ONLY, "auth": {"token": login["token"]}})
    fresh = await rest.post("/api/auth/refresh", {"refresh_token": login["refresh_token"]})
    assert (await client.emit("auth-refresh", {"token": fresh["token"]}))["ok"]
    other = await client.emit("auth-refresh", {"token": await rest.token("bob")})
    assert other["code"] == "forbidden"
    junk = await client.emit("auth-refresh", {"token": "junk"})
    assert junk["code"] == "unauthorized"


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("entity-event", {"name": "spawn", "data": {"colour": "red"}}),
        ("entity-event", {"name": "", "data": 1}),
        ("entity-event", {"name": "spawn", "data": {"id": "big", "blob": "x" * 5000}}),
        ("voice-state", {"enabled": "yes"}),
        ("webrtc-offer", {"offer": {}}),
        ("webrtc-offer", {"targetSocketId": "x", "offer": {}, "media": "smell"}),
        ("chat-typing", {"typing": 1}),
    ],
)
async def test_bad_signals_are_refused(stack: Stack, node: Node, event: str, payload: Any) -> None:
    client = await node.connect("clumsy", stack.url, WEBSOCKET_ONLY)
    outside = await client.emit(event, payload)
    assert outside["ok"] is False
    await client.join("event", "bad-signals")
    assert (await client.emit(event, payload))["code"] == "invalid_input"
    assert (await client.emit("time"))["ok"]
