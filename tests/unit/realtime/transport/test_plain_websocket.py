"""Frames of Engine.IO become JSON objects, and the other way round."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.contracts import default_registry
from libs.common.contracts.registry import Event, Socket
from services.realtime.transport.engine import BINARY, TEXT, frame
from services.realtime.transport.packets import EventPacket
from services.realtime.transport.plain_websocket import to_event, to_plain

REGISTRY = default_registry()
SERVERS = sorted(
    {signal.name for signal in REGISTRY.signals if signal.sent_by == "server"}
    | {socket.event for record, socket in REGISTRY.bound(Socket) if isinstance(record, Event)}
)
"""All that the server says."""


def said(data: bytes) -> list[Any]:
    """The JSON of each frame. Sizes are read as a client would."""
    found, place = [], 0
    while place < len(data):
        assert data[place] == 0x80 | TEXT
        size, start = data[place + 1], place + 2
        if size == 126:
            size, start = int.from_bytes(data[start : start + 2]), start + 2
        elif size == 127:
            size, start = int.from_bytes(data[start : start + 8]), start + 8
        found.append(msgspec.json.decode(data[start : start + size]))
        place = start + size
    return found


@given(st.lists(st.integers(0, 70_000), max_size=4))
def test_whole_frames_of_any_size_are_translated_one_by_one(sizes: list[int]) -> None:
    data = b"".join(EventPacket("user-left", {"x": "x" * size}).frame("/") for size in sizes)
    assert said(to_plain(data)) == [{"type": "user-left", "x": "x" * size} for size in sizes]


def test_packets_of_the_protocol_are_left_out() -> None:
    packets = (b"0{}", b"1", b"2", b"3", b"6", b"41", b"430[]", b'451-["x",{}]')
    assert to_plain(b"".join(map(frame, packets)) + frame(b"\x01\x02", BINARY)) == b""


def test_an_entity_event_comes_under_its_own_name_with_the_senders_stamp() -> None:
    stamp = {"socketId": "r1-x", "userAccount": "alice"}
    lie = {"socketId": "r9-y", "type": "kicked", "n": 1}
    told = EventPacket("entity-event", {**stamp, "name": "dice", "data": lie}).frame("/")
    assert said(to_plain(told)) == [{"type": "dice", "n": 1, **stamp}]
    told = EventPacket("entity-event", {**stamp, "name": "dice", "data": [6]}).frame("/")
    assert said(to_plain(told)) == [{"type": "dice", "data": [6], **stamp}]


@pytest.mark.parametrize("name", SERVERS)
def test_nobody_speaks_for_the_server(name: str) -> None:
    forged = {"socketId": "r1-x", "userAccount": None, "name": name, "data": {"socketId": "r1-victim"}}
    assert said(to_plain(EventPacket("entity-event", forged).frame("/"))) == [{**forged, "type": "entity-event"}]
    with pytest.raises(ValueError):
        to_event(msgspec.json.encode({"type": name}), events=())


def test_a_known_type_is_its_event_and_any_other_an_entity_event() -> None:
    assert to_event('{"type":"time"}', {"time"}) == '42["time",{}]'
    assert to_event('{"type":"dice","n":6}', {"time"}) == '42["entity-event",{"name":"dice","data":{"n":6}}]'
