"""The ticker's choice of what each socket is told."""

from typing import cast

from redis.asyncio import Redis

from libs.common.contracts.presence import AframeUpdate, Position, Rotation
from services.realtime.poses.encoding import Pose
from services.realtime.poses.state import PoseState
from services.realtime.poses.ticker import PoseTicker
from services.realtime.rooms.broadcast import Broadcast
from tests.support.sockets import Reader


def moved(room: PoseState, sid: str, x: float) -> None:
    room.set(Pose(sid, None, b'{"position":{"x":%d}}' % x, AframeUpdate(Position(x), Rotation())))


def test_a_client_that_upgrades_is_told_whose_number_is_whose() -> None:
    ticker = PoseTicker(cast("Redis", None), cast("Broadcast", None), "r1", 0.05, 1000)
    room, reader = PoseState(), Reader("me")
    reader.engine.transport = None  # it polls
    for x in (1.0, 2.0):
        moved(room, "ann", x)
        ticker._send([reader.client], room, room.next_tick())
    assert len(reader.engine.queued) == 2
    reader.engine.transport = object()
    moved(room, "ben", 3.0)
    ticker._send([reader.client], room, room.next_tick())
    reader.read()
    assert reader.known == {"ann": (2.0, 0.0, 0.0), "ben": (3.0, 0.0, 0.0)}
    moved(room, "ann", 4.0)
    ticker._send([reader.client], room, room.next_tick())
    reader.read()
    assert reader.known["ann"] == (4.0, 0.0, 0.0)
