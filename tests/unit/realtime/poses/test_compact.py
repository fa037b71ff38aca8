"""The compact pose: what its documentation promises, and JSON for whatever it cannot hold."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.contracts.presence import AframeUpdate, Position, Rotation
from services.realtime.poses.compact import pack, pack_json
from services.realtime.poses.encoding import CompactBatch, Pose
from tests.support.sockets import frames, unpack

INSIDE = 8388.607
metres = st.floats(-INSIDE, INSIDE)
degrees = st.floats(-1e6, 1e6)


def turn_between(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)


@given(metres, metres, metres, degrees, degrees, degrees)
def test_rounding_is_what_the_table_says(x: float, y: float, z: float, a: float, b: float, c: float) -> None:
    update = AframeUpdate(Position(x, y, z), Rotation(a, b, c))
    packed = pack(update)
    assert packed is not None
    assert len(packed) == 14
    assert packed == pack_json(msgspec.json.encode(update))
    *place, pitch, yaw, roll = unpack(packed)
    assert all(abs(found - meant) <= 0.00051 for found, meant in zip(place, (x, y, z), strict=True))
    assert turn_between(yaw, b) <= 0.003
    assert turn_between(pitch, a) <= 0.045
    assert turn_between(roll, c) <= 0.045


@pytest.mark.parametrize(
    "update",
    [
        AframeUpdate(position=Position()),
        AframeUpdate(rotation=Rotation()),
        AframeUpdate(Position(), Rotation(w=1.0)),
        AframeUpdate(Position(), Rotation(), {"hand": {}}),
        AframeUpdate(Position(x=INSIDE + 0.001), Rotation()),
        AframeUpdate(Position(z=-INSIDE - 0.001), Rotation()),
    ],
)
def test_a_pose_that_does_not_fit_is_not_bent_to_fit(update: AframeUpdate) -> None:
    assert pack(update) is None


def read(parts: bytes) -> tuple[dict[str, object], list[int]]:
    """The JSON of a batch and the numbers in its attachment."""
    (opcode, text), *rest = frames(parts)
    assert opcode == 1
    kind, body = text.split(b"[", 1)
    packet = msgspec.json.decode(b"[" + body)[1]
    assert (kind, [o for o, _ in rest]) == ((b"451-", [2]) if "compact" in packet else (b"42", []))
    data = rest[0][1] if rest else b""
    return packet, [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 16)]


def test_small_ones_are_attached_large_ones_are_json_and_ones_own_is_cut_out() -> None:
    small = {f"s{n}": Pose(f"s{n}", None, b"", AframeUpdate(Position(n), Rotation())) for n in range(5)}
    large = {f"l{n}": Pose(f"l{n}", None, b'{"entities":{"a":1}}') for n in range(3)}
    numbers = {sid: n for n, sid in enumerate([*small, *large])}
    names = [(n, sid) for sid, n in numbers.items()]
    batch = CompactBatch({**small, **large}, ["g"], ["a"], names, numbers, "/")
    for reader in (*small, *large, "somebody else"):
        packet, attached = read(b"".join(batch.without(reader)))
        assert attached == [numbers[sid] for sid in small if sid != reader]
        assert [sid for sid, _ in packet["poses"]] == [sid for sid in large if sid != reader]  # type: ignore[attr-defined]
        assert (packet["gone"], packet["away"], packet["names"]) == (["g"], ["a"], [list(name) for name in names])


def test_without_small_ones_there_is_no_attachment() -> None:
    large = {"l": Pose("l", None, b'{"entities":{"a":1}}')}
    packet, attached = read(b"".join(CompactBatch(large, [], [], [(0, "l")], {"l": 0}, "/").without("x")))
    assert (attached, "compact" in packet, len(packet["poses"])) == ([], False, 1)  # type: ignore[arg-type]


def test_whoever_has_no_number_travels_as_json() -> None:
    poses = {"s": Pose("s", None, b'{"position":{},"rotation":{}}')}
    packet, attached = read(b"".join(CompactBatch(poses, [], [], [], {}, "/").without("x")))
    assert (attached, [sid for sid, _ in packet["poses"]]) == ([], ["s"])  # type: ignore[attr-defined]
