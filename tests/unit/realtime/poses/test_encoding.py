"""A tick's bytes: valid frames, and one's own pose cut out exactly."""

from typing import Any

import msgspec
import pytest

from libs.common.contracts.presence import MAX_ENTITIES, AframeUpdate, Position, Rotation
from services.realtime.poses.encoding import Batch, Pose, PoseEvents
from services.realtime.transport.engine import frame
from tests.support.sockets import payloads

NAMESPACES = ("/", "/socket.io/")


def poses(count: int) -> dict[str, Pose]:
    made = [
        Pose(f"r1-é{n}", None if n % 2 else "alice", msgspec.json.encode({"n": n, "pad": "x" * n}))
        for n in range(count)
    ]
    return {pose.socket_id: pose for pose in made}


def events(data: bytes, namespace: str) -> list[Any]:
    start = b"42" if namespace == "/" else b"42/socket.io/,"
    assert all(payload.startswith(start) for payload in payloads(data))
    return [msgspec.json.decode(payload[len(start) :]) for payload in payloads(data)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
def test_a_frame_says_how_long_it_is(size: int) -> None:
    assert payloads(frame(b"x" * size)) == [b"x" * size]


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("count", [1, 2, 3, 200])
def test_everyone_gets_everything_but_their_own(count: int, namespace: str) -> None:
    made = poses(count)
    legacy, batch = PoseEvents(made, "T", namespace), Batch(made, ["r2-gone"], [], namespace)
    for reader in (*made, "somebody else"):
        others = [sid for sid in made if sid != reader]
        told = events(b"".join(legacy.without(reader)), namespace)
        assert [event[1]["socketId"] for event in told] == others
        assert [event[1]["entityData"] for event in told] == [msgspec.json.decode(made[sid].data) for sid in others]
        [(name, packet)] = events(b"".join(batch.without(reader)), namespace)
        assert (name, packet["gone"]) == ("aframe-batch", ["r2-gone"])
        assert [sid for sid, _ in packet["poses"]] == others


def test_a_polling_client_gets_the_same_packets_as_text() -> None:
    made = poses(3)
    for sid, text in PoseEvents(made, "T", "/").packets():
        name, told = msgspec.json.decode(text.removeprefix("2"))
        assert (name, told["socketId"]) == ("aframe-update", sid)


def test_updates_add_up() -> None:
    first = AframeUpdate(position=Position(1, 2, 3), entities={"a": 1})
    second = AframeUpdate(rotation=Rotation(0, 90, 0), entities={"b": 2})
    both = first.merged(second)
    assert (both.position, both.rotation, both.entities) == (Position(1, 2, 3), Rotation(0, 90, 0), {"a": 1, "b": 2})


def test_entities_of_a_pose_do_not_grow_without_end() -> None:
    state = AframeUpdate(entities={})
    for number in range(3 * MAX_ENTITIES):
        state = state.merged(AframeUpdate(entities={f"e{number}": number}))
    assert isinstance(state.entities, dict)
    assert len(state.entities) == MAX_ENTITIES
    assert f"e{3 * MAX_ENTITIES - 1}" in state.entities
