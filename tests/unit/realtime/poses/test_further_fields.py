"""Further fields of a pose are carried beside those we know: read as sent, merged by name, bounded."""

from typing import Any

import msgspec
import pytest

from libs.common.contracts.presence import (
    MAX_MORE,
    MAX_NAME,
    AframeUpdate,
    FullUpdate,
    Position,
    further_fields,
    read_update,
    write_update,
)
from services.realtime.poses.compact import pack


def read(**fields: Any) -> AframeUpdate:
    return read_update(msgspec.json.encode(fields))


def told(update: AframeUpdate) -> Any:
    return msgspec.json.decode(write_update(update))


def test_what_was_sent_is_told_whatever_its_fields_are_called() -> None:
    for sent in (
        {"position": {"x": 1.0, "y": 2.0, "z": 3.0}, "scale": {"x": 2}, "animation": "wave", "more": [1], "n": None},
        {"scale": {"x": 2}},
        {"entities": {"ball": {"x": 1}}, "héllo": {"a": [{}]}},
    ):
        assert told(read(**sent)) == sent


def test_a_pose_without_further_fields_is_none_with_any() -> None:
    assert not further_fields(read(position={"x": 1}))
    assert told(read(position={"x": 1})) == {"position": {"x": 1.0, "y": 0.0, "z": 0.0}}
    assert told(AframeUpdate()) == {}


def test_further_fields_keep_their_last_value() -> None:
    state = read(scale=1, animation="wave").merged(read(position={"x": 5})).merged(read(scale=2))
    assert told(state) == {"position": {"x": 5.0, "y": 0.0, "z": 0.0}, "scale": 2, "animation": "wave"}


def test_of_too_many_that_add_up_the_newest_are_kept() -> None:
    state = AframeUpdate()
    for number in range(MAX_MORE + 3):
        state = state.merged(read(**{f"f{number}": number}))
    assert sorted(further_fields(state)) == sorted(f"f{number}" for number in range(3, MAX_MORE + 3))


@pytest.mark.parametrize(
    "sent",
    [
        {f"f{number}": 1 for number in range(MAX_MORE + 1)},
        {"x" * (MAX_NAME + 1): 1},
        {"scale": 1, "position": {"x": "left"}},
        {"scale": 1, "position": {"x": 1e9}},
        ["scale"],
    ],
)
def test_what_is_too_much_or_no_pose_is_refused(sent: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        read_update(msgspec.json.encode(sent))


def test_a_field_that_others_could_not_read_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_update(b'{"scale":1e999}')


def test_a_pose_with_further_fields_does_not_fit_into_the_compact_form() -> None:
    plain = read(position={"x": 1}, rotation={"y": 90})
    assert pack(plain) is not None
    assert pack(FullUpdate(Position(), plain.rotation, more={"scale": msgspec.Raw(b"2")})) is None
