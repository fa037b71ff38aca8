"""Short drops, voice peers and compact poses, between two replicas, with clients that nobody here wrote."""

import struct
from functools import partial
from typing import Any

import pytest
import socketio

from deploy.local.stack import Stack
from tests.support.node import Client, Node
from tests.support.people import Rest
from tests.support.visitors import Visitor, agree, visitors
from tests.support.waiting import eventually

WEBSOCKET_ONLY = {"transports": ["websocket"]}


def replicas(stack: Stack) -> list[str]:
    return [f"http://127.0.0.1:{stack.http_port(name)}" for name in ("r1", "r2")]


class Witness:
    """What one visitor is told of comings and goings, in order, and the frames in which it came."""

    def __init__(self, visitor: Visitor) -> None:
        self.said: list[tuple[str, str, str]] = []
        for event in ("user-joined", "user-left"):
            visitor.also_on(event, partial(self._note, event))

    def _note(self, event: str, told: dict[str, Any]) -> None:
        self.said.append((event, told["socketId"], told.get("reason", "")))


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same replica", "other replica"])
async def test_whoever_comes_back_soon_is_replaced_and_never_missing(stack: Stack, rest: Rest, elsewhere: bool) -> None:
    one, two = replicas(stack)
    async with visitors(rest, f"grace-{elsewhere}", [one, two]) as (watcher, dropped):
        await agree([watcher, dropped])
        witness, before = Witness(watcher), dropped.sid
        if elsewhere:
            dropped.come_back_to(one)
        await dropped.break_off()
        await eventually(lambda: dropped.inside and dropped.sid != before)
        await agree([watcher, dropped])
        assert witness.said == [("user-left", before, "replaced"), ("user-joined", dropped.sid, "")]


async def test_whoever_does_not_come_back_has_left_and_so_has_one_nobody_can_know_again(
    stack: Stack, rest: Rest, node: Node
) -> None:
    async with visitors(rest, "no-grace", replicas(stack)) as (watcher, dropped):
        await agree([watcher, dropped])
        witness, before = Witness(watcher), dropped.sid
        await dropped.stay_away()
        await eventually(lambda: witness.said)
        assert witness.said == [("user-left", before, "disconnected")]
        anonymous = await node.connect("anonymous", stack.url, WEBSOCKET_ONLY)
        await anonymous.join("event", "no-grace")
        await anonymous.disconnect()
        await eventually(lambda: len(witness.said) == 3)
        assert witness.said[1:] == [("user-joined", anonymous.sid, ""), ("user-left", anonymous.sid, "disconnected")]


async def voices(stack: Stack, node: Node, space: str, places: dict[str, float]) -> dict[str, Client]:
    """People on both replicas who take part in voice, each at its x."""
    people: dict[str, Client] = {}
    for number, (name, x) in enumerate(places.items()):
        client = people[name] = await node.connect_to(
            f"r{number % 2 + 1}", f"{name} {space}", stack.url, WEBSOCKET_ONLY
        )
        await client.join("event", space, position={"x": x, "y": 0, "z": 0})
        assert (await client.emit("voice-state", {"enabled": True}))["ok"]
    return people


async def test_voice_peers_are_the_near_ones_of_both_replicas_and_follow_them(stack: Stack, node: Node) -> None:
    people = await voices(stack, node, "voices", {"ann": 0, "ben": 2, "cat": 200})
    names = {client.sid: name for name, client in people.items()}

    async def hears(name: str, expected: set[str]) -> None:
        def named() -> bool:
            told = people[name].received("voice-peers")
            return bool(told) and {names[sid] for sid in told[-1]["peers"]} == expected

        await eventually(named)

    await hears("ann", {"ben"})
    await hears("ben", {"ann"})
    assert people["cat"].received("voice-peers") == []
    await people["ben"].send("aframe-update", {"position": {"x": 199, "y": 0, "z": 0}})
    await hears("cat", {"ben"})
    await hears("ben", {"cat"})
    await hears("ann", set())
    assert (await people["cat"].emit("voice-state", {"enabled": False}))["ok"]
    await hears("ben", set())
    late = await node.connect("late", stack.url, WEBSOCKET_ONLY)
    snapshot = await late.join("event", "voices")
    voice = {names[user["socketId"]]: user["voice"]["enabled"] for user in snapshot["users"]}
    assert voice == {"ann": True, "ben": True, "cat": False}


async def test_compact_poses_as_python_socketios_own_client_gets_them(stack: Stack, node: Node) -> None:
    client = socketio.AsyncClient(handle_sigint=False)
    names: dict[int, str] = {}
    known: dict[str, Any] = {}

    @client.on("aframe-batch")  # type: ignore[untyped-decorator]
    async def _batch(batch: dict[str, Any]) -> None:
        names.update(batch.get("names", []))
        known.update(batch["poses"])
        data = batch.get("compact", b"")
        for at in range(0, len(data), 16):
            x, y, z = (int.from_bytes(data[at + i : at + i + 3], "little", signed=True) / 1000 for i in (2, 5, 8))
            (number,), (yaw,) = struct.unpack_from("<H", data, at), struct.unpack_from("<H", data, at + 11)
            known[names[number]] = (x, y, z, round(yaw * 360 / 65536, 1))

    await client.connect(stack.url, transports=["websocket"])
    try:
        where = {"spaceType": "event", "spaceId": "compact", "features": ["pose-compact"]}
        assert (await client.call("join-space", where))["ok"]
        near = await node.connect_to("r1", "near compact", stack.url, WEBSOCKET_ONLY)
        far = await node.connect_to("r2", "far compact", stack.url, WEBSOCKET_ONLY)
        for mover in (near, far):
            await mover.join("event", "compact")
        pose = {"position": {"x": -1.5, "y": 1.6, "z": 3.25}, "rotation": {"x": 0, "y": 90, "z": 0}}
        await near.send("aframe-update", pose)
        await far.send("aframe-update", {**pose, "entities": {"hand": {"x": 1}}})
        await eventually(lambda: known.keys() >= {near.sid, far.sid})
        assert known[near.sid] == (-1.5, 1.6, 3.25, 90.0)
        assert known[far.sid] == {**pose, "entities": {"hand": {"x": 1}}}
        await near.send("aframe-update", {"position": {"x": 7, "y": 0, "z": 0}})
        await eventually(lambda: known[near.sid] == (7.0, 0.0, 0.0, 90.0))
    finally:
        await client.disconnect()
