"""The states of a client and their transitions."""

from dataclasses import replace
from typing import Any, cast

import pytest

from libs.common.contracts.members import Member
from libs.common.contracts.presence import Position
from libs.common.contracts.spaces import Authorization
from libs.common.errors import FORBIDDEN, PresenceError
from libs.common.identity import guest_identity
from libs.common.spaces import SpaceKey
from libs.common.tokens import Token
from services.realtime.rooms.budgets import MOST_REFUSED, UNLIMITED, Budgets, Insistence, Rates
from services.realtime.rooms.client import Client, ClientState, Place
from services.realtime.transport.packets import EventPacket
from tests.support.clock import Clock

MEMBER = Member("s", "stay", "r1", "main", None, "g", True, "Guest", Position(), None, "2026-01-01T00:00:00Z")


def new_place() -> Place:
    return Place(SpaceKey("global", "lobby"), MEMBER, Authorization("guest", 0, 10, {}))


@pytest.fixture
def client() -> Client:
    return Client("s", "/", cast("Any", None), Token(guest_identity("g"), 2**53), "203.0.113.9", [])


def in_state(client: Client, state: ClientState) -> Client:
    if state in (ClientState.ENTERING, ClientState.INSIDE):
        client.enter(new_place())
    if state is ClientState.INSIDE:
        client.arrive(seq=0)
    if state is ClientState.DROPPED:
        client.drop()
    assert client.state is state
    return client


def test_a_client_has_a_place_exactly_while_it_is_entering_or_inside(client: Client) -> None:
    assert client.place is None
    client.enter(place := new_place())
    assert client.placed() is place
    client.arrive(seq=3)
    assert (client.placed(), place.after_seq, client.is_inside) == (place, 3, True)
    assert client.step_out() is place
    with pytest.raises(PresenceError) as raised:
        client.placed()
    assert raised.value.kind is FORBIDDEN


def test_arriving_returns_what_gathered_after_the_snapshot_and_only_that(client: Client) -> None:
    client.enter(place := new_place())
    packets = {seq: EventPacket("chat-message", {"seq": seq}) for seq in (1, 2, 3)}
    place.gathered += packets.items()
    assert client.arrive(seq=2) == [packets[3]]
    assert place.gathered == []


@pytest.mark.parametrize("state", [ClientState.ENTERING, ClientState.INSIDE, ClientState.DROPPED])
def test_entering_is_for_clients_that_are_outside(client: Client, state: ClientState) -> None:
    with pytest.raises(RuntimeError, match=state.value):
        in_state(client, state).enter(new_place())


@pytest.mark.parametrize("state", [ClientState.OUTSIDE, ClientState.INSIDE, ClientState.DROPPED])
def test_arriving_is_for_clients_that_are_entering(client: Client, state: ClientState) -> None:
    with pytest.raises(RuntimeError, match=state.value):
        in_state(client, state).arrive(seq=0)


@pytest.mark.parametrize("state", list(ClientState))
def test_a_dropped_client_gives_its_place_up_once_and_never_comes_back(client: Client, state: ClientState) -> None:
    place = in_state(client, state).place
    assert client.drop() is place
    assert (client.drop(), client.step_out(), client.state) == (None, None, ClientState.DROPPED)


def insisting(client: Client, *rates: Rates) -> bool:
    """Returns whether the client insists that is refused for as long as that takes, by budgets of these rates."""
    clock = Clock()
    client.budgets, client.insistence = [Budgets(rate) for rate in rates], Insistence(clock)
    insisted = False
    for _ in range(MOST_REFUSED):
        assert client.exceeds_signals(2)
        insisted = client.insists()
        clock.now += 1
    return insisted


def test_what_neighbours_have_used_up_makes_nobody_insist(client: Client) -> None:
    little = replace(UNLIMITED, signals=1)
    assert not insisting(client, UNLIMITED, little, little)
    assert insisting(client, little, UNLIMITED)
