"""Whom a voice connection is held to: few, mutual, and no change for a step to the side."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.contracts.presence import Position
from services.realtime.voice import EARSHOT, MOST_CONNECTIONS, MOST_ON_STAGE, MOST_PEERS, Hall

Places = dict[str, Position]


def places(count: int, spread: float, seed: int = 1) -> Places:
    at = random.Random(seed)
    return {f"s{n:03}": Position(at.uniform(-spread, spread), 0.0, at.uniform(-spread, spread)) for n in range(count)}


@given(st.integers(0, 120), st.sampled_from([1.0, 20.0, 300.0]), st.sampled_from(["ambient", "stage", "announcement"]))
def test_a_connection_has_two_ends_and_nobody_has_too_many(count: int, spread: float, mode: str) -> None:
    where = places(count, spread)
    stage = list(where)[:3]
    peers = Hall(mode, where, stage, {}).peers()
    assert peers.keys() == where.keys()
    for sid, mine in peers.items():
        assert sid not in mine
        assert len(set(mine)) == len(mine)
        assert len(mine) <= (MOST_ON_STAGE if sid in stage and mode != "ambient" else MOST_CONNECTIONS)
        assert all(sid in peers[peer] for peer in mine)


def test_the_nearest_are_heard_and_nobody_beyond_earshot() -> None:
    line = {f"s{n:02}": Position(float(n), 0.0, 0.0) for n in range(60)}
    mine = Hall("ambient", line, [], {}).peers()["s30"]
    assert set(mine) >= {f"s{n}" for n in (26, 27, 28, 29, 31, 32, 33, 34)}
    assert all(abs(int(peer[1:]) - 30) <= EARSHOT for peer in mine)
    assert Hall("ambient", {"a": Position(), "b": Position(EARSHOT + 1)}, [], {}).peers() == {"a": [], "b": []}


@pytest.mark.parametrize("direction", [(1, 0), (0, 1), (-1, 0), (0, -1)])
def test_who_is_within_earshot_is_heard_wherever_the_two_stand(direction: tuple[int, int]) -> None:
    x, z = ((EARSHOT - 0.1) * part for part in direction)
    for at in range(-20, 20):
        here, there = Position(at, 0, at), Position(at + x, 0, at + z)
        assert Hall("ambient", {"a": here, "b": there}, [], {}).peers() == {"a": ["b"], "b": ["a"]}, at


def test_a_peer_stays_until_somebody_is_clearly_nearer() -> None:
    circle = {f"p{n}": Position(10.0 + n * 0.001) for n in range(MOST_PEERS)}
    held = {"me": list(circle)}
    beside = {"me": Position(), **circle, "new": Position(9.0)}
    assert "new" not in Hall("ambient", beside, [], held)._chosen("me")
    beside["new"] = Position(6.0)
    assert Hall("ambient", beside, [], held)._chosen("me")[0] == "new"


@pytest.mark.parametrize("mode", ["ambient", "spatial"])
def test_without_a_stage_nobody_is_heard_from_afar(mode: str) -> None:
    peers = Hall(mode, {"owner": Position(900.0), "me": Position(), "you": Position(2.0)}, ["owner"], {}).peers()
    assert (peers["me"], peers["owner"]) == (["you"], [])


@pytest.mark.parametrize(("mode", "far_speaker", "neighbour"), [("stage", True, False), ("announcement", True, True)])
def test_the_stage_is_heard_wherever_one_stands(mode: str, far_speaker: bool, neighbour: bool) -> None:
    where = {"speaker": Position(900.0), "me": Position(), "you": Position(2.0)}
    peers = Hall(mode, where, ["speaker"], {}).peers()
    assert ("speaker" in peers["me"], "you" in peers["me"]) == (far_speaker, neighbour)
    assert set(peers["speaker"]) == {"me", "you"}
