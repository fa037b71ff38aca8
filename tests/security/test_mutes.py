"""The door of a mute: it takes words and voice on every channel, leaves moving about; an owner closes each.

With real clients on the running stack; each test has an event of its own, which belongs to the operators.
"""

from functools import partial
from itertools import count
from typing import Any

import aiohttp
import pytest

from deploy.local.stack import Stack
from libs.common.ids import new_id
from tests.support.halls import fresh
from tests.support.node import Client, Node
from tests.support.people import OPERATOR, Rest
from tests.support.waiting import eventually
from tests.support.wire import PATH, WAIT_SECONDS

type Said = tuple[str, dict[str, Any]]


@pytest.fixture
def hall() -> str:
    return fresh()


@pytest.fixture
async def carol(stack: Stack, node: Node, rest: Rest, hall: str) -> Client:
    return await enter(stack, node, await rest.token("carol"), hall, "r1")


@pytest.fixture
async def dave(stack: Stack, node: Node, rest: Rest, hall: str, carol: Client) -> Client:
    """Hears carol from the other replica."""
    client = await enter(stack, node, await rest.token("dave"), hall, "r2")
    await carol.wait_for("user-joined", lambda told: told["socketId"] == client.sid)
    return client


async def enter(stack: Stack, node: Node, token: str, hall: str, replica: str) -> Client:
    options = {"transports": ["websocket"], "auth": {"token": token}}
    client = await node.connect_to(replica, f"{token[-8:]} in {hall}", stack.url, options)
    await client.join("event", hall)
    return client


async def mute(rest: Rest, hall: str, **whom: str) -> None:
    await rest.post(f"/api/spaces/event/{hall}/mute", {"reason": "loud", **whom}, OPERATOR)


async def close(rest: Rest, hall: str, *channels: str) -> None:
    body = {"settings": {"closed_channels": list(channels)}}
    status, answer, _ = await rest.ask("PATCH", f"/api/spaces/event/{hall}/settings", body, OPERATOR)
    assert status == 200, answer


async def codes(client: Client, said: list[Said]) -> dict[str, str]:
    answers = {
        f"{event} {payload.get('name', payload.get('type', ''))}".strip(): (event, payload) for event, payload in said
    }
    return {label: (await client.emit(*signal)).get("code", "ok") for label, signal in answers.items()}


def words(peer: str) -> list[Said]:
    offer = {"targetSocketId": peer, "offer": {"type": "offer", "sdp": "v=0"}}
    return [
        ("chat-message", {"content": "hello"}),
        ("chat-typing", {"typing": True}),
        ("voice-state", {"enabled": True, "muted": False}),
        ("voice-state", {"enabled": False, "muted": False, "screen": True}),
        ("webrtc-offer", offer),
        ("webrtc-offer", {**offer, "media": "screen"}),
        ("webrtc-answer", {"targetSocketId": peer, "answer": {"type": "answer", "sdp": "v=0"}}),
        ("webrtc-ice-candidate", {"targetSocketId": peer, "candidate": {"candidate": "x"}}),
        ("entity-event", {"name": "shout", "data": {"text": "hello"}}),
        ("entity-event", {"name": "spawn", "data": {"id": "note", "text": "hello"}, "to": peer}),
        ("broadcast", {"type": "chat", "data": {"text": "hello"}}),
        ("send", {"to": peer, "type": "chat", "data": {"text": "hello"}}),
        ("avatar-update", {"avatar_data": {"sign": new_id()}}),
    ]


def moves(peer: str) -> list[Said]:
    return [
        ("aframe-update", {"position": {"x": 1, "y": 0, "z": 0}}),
        ("entity-event", {"name": "spawn", "data": {"id": "ball"}}),
        ("entity-event", {"name": "remove", "data": {"id": "ball"}}),
        ("broadcast", {"type": "u", "data": {"networkId": "n"}}),
        ("broadcast", {"type": "um", "data": {"d": []}}),
        ("broadcast", {"type": "r", "data": {"networkId": "n"}}),
        ("send", {"to": peer, "type": "u", "data": {"networkId": "n"}}),
        ("avatar-update", {"avatar_data": {}}),
        ("voice-state", {"enabled": False, "muted": True}),
    ]


async def test_a_mute_takes_words_and_voice_and_leaves_moving_about(
    rest: Rest, hall: str, carol: Client, dave: Client
) -> None:
    assert set((await codes(carol, words(dave.sid))).values()) == {"ok"}
    await mute(rest, hall, account="carol")
    await carol.wait_for("space-error", lambda told: told["code"] == "muted")
    assert set((await codes(carol, words(dave.sid))).values()) == {"muted"}
    assert set((await codes(carol, moves(dave.sid))).values()) == {"ok"}


async def test_further_fields_of_a_muted_persons_poses_are_left_out_and_that_is_said(
    rest: Rest, hall: str, carol: Client, dave: Client
) -> None:
    await mute(rest, hall, account="carol")
    await carol.wait_for("space-error", lambda told: told["code"] == "muted")
    for x in (1.0, 2.0):
        pose = {"position": {"x": x, "y": 0.0, "z": 0.0}, "sign": "hello", "entities": {"ball": {"x": x}}}
        assert (await carol.emit("aframe-update", pose))["ok"]
        await dave.wait_for("aframe-update", partial(is_at, x))
    assert all(set(told["entityData"]) == {"position", "entities"} for told in dave.received("aframe-update"))
    said = [told for told in carol.received("space-error") if "further fields" in told["error"]]
    assert [told["code"] for told in said] == ["muted"], "once"


def is_at(x: float, told: Any) -> bool:
    return bool(told["entityData"]["position"]["x"] == x)


async def test_those_who_hear_somebody_who_is_muted_are_told_to_stop(
    rest: Rest, hall: str, carol: Client, dave: Client
) -> None:
    for client in (carol, dave):
        await client.emit("voice-state", {"enabled": True, "muted": False})
    await dave.wait_for("voice-peers", lambda told: told["peers"] == [carol.sid])
    await mute(rest, hall, account="carol")
    await dave.wait_for("voice-state", lambda told: told["socketId"] == carol.sid and not told["enabled"])
    await dave.wait_for("voice-peers", lambda told: told["peers"] == [])
    await carol.wait_for("voice-state", lambda told: told["socketId"] == carol.sid and not told["enabled"])


async def test_a_plain_websocket_says_nothing_while_muted(stack: Stack, rest: Rest, hall: str, dave: Client) -> None:
    await mute(rest, hall, account="bob")
    url = f"{stack.url}{PATH}?token={await rest.token('bob')}"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as plain:
        await plain.send_json({"type": "join-space", "spaceType": "event", "spaceId": hall})
        while (await plain.receive_json(timeout=WAIT_SECONDS))["type"] != "space-joined":
            pass
        await plain.send_json({"type": "shout", "text": "hello"})
        while (told := await plain.receive_json(timeout=WAIT_SECONDS))["type"] != "space-error":
            pass
    assert told["code"] == "muted"
    assert dave.received("entity-event") == []


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("entity-events", ("entity-event", {"name": "spawn", "data": {"id": "ball"}})),
        ("entity-events", ("entity-event", {"name": "shout", "data": {}})),
        ("naf", ("broadcast", {"type": "u", "data": {}})),
        ("avatars", ("avatar-update", {"avatar_data": {"sign": "hello"}})),
        ("things", ("thing-make", {"id": "ball"})),
    ],
)
async def test_an_owner_closes_a_channel_that_chats_filters_do_not_see(
    rest: Rest, hall: str, carol: Client, channel: str, said: Said
) -> None:
    assert (await carol.emit(*said))["ok"]
    await close(rest, hall, channel)
    await carol.wait_for("space-updated", lambda told: told["settings"]["settings"]["closed_channels"] == [channel])

    async def is_refused() -> bool:
        return bool((await carol.emit(*said)).get("code") == "forbidden")

    await eventually(is_refused)  # what is said while the change is under way may still pass


async def test_who_moves_goes_on_moving_where_the_entities_of_poses_are_closed(
    rest: Rest, hall: str, carol: Client, dave: Client
) -> None:
    await close(rest, hall, "pose-entities")
    xs = count(1)

    async def moves_without_entities() -> bool:
        x = next(xs)
        await carol.emit("aframe-update", {"position": {"x": x, "y": 0, "z": 0}, "entities": {f"ball{x}": {}}})
        told = await dave.wait_for("aframe-update", lambda told: told["entityData"].get("position", {}).get("x") == x)
        return f"ball{x}" not in told["entityData"].get("entities", {})

    await eventually(moves_without_entities)  # what is said while the change is under way may still pass


async def test_a_channel_that_does_not_exist_is_refused_by_name(rest: Rest, hall: str) -> None:
    body = {"settings": {"closed_channels": ["telepathy"]}}
    status, answer, _ = await rest.ask("PATCH", f"/api/spaces/event/{hall}/settings", body, OPERATOR)
    assert (status, answer["code"]) == (400, "invalid_input")
    assert "entity-events" in str(answer)
