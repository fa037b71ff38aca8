"""Limits per account and address: each counts its own, and what is given back is free again."""

import pytest

from libs.common.errors import RATE_LIMITED, PresenceError
from libs.common.identity import Identity, guest_identity
from libs.common.settings import read
from libs.common.tokens import Token
from services.realtime.clients.quotas import IDLE_SECONDS, OF_ACCOUNT, Quotas
from services.realtime.settings import Settings
from tests.support.clock import Clock


@pytest.fixture
def of(monkeypatch: pytest.MonkeyPatch) -> Quotas:
    monkeypatch.setenv("PRESENCE_SOCKETS_PER_ACCOUNT", "2")
    monkeypatch.setenv("PRESENCE_SOCKETS_PER_ADDRESS", "4")
    return Quotas(read(Settings))


def account(name: str) -> Token:
    return Token(Identity("account", name, name, token_id=f"jti-{name}"), 2**40)


def refused(of: Quotas, token: Token, address: str) -> bool:
    try:
        of.take(token, address)
    except PresenceError as error:
        return error.kind is RATE_LIMITED
    return False


def test_an_account_has_so_many_sockets_wherever_it_comes_from(of: Quotas) -> None:
    taken = [of.take(account("alice"), f"192.0.2.{n}") for n in range(2)]
    assert refused(of, account("alice"), "192.0.2.9")
    assert not refused(of, account("bob"), "192.0.2.9")
    of.give_back(taken[0])
    assert not refused(of, account("alice"), "192.0.2.9")


@pytest.mark.parametrize("addresses", [["192.0.2.1"] * 4, [f"2001:db8::{n}" for n in range(1, 5)]])
def test_an_address_has_so_many_whoever_comes_and_a_64_is_one(of: Quotas, addresses: list[str]) -> None:
    for number, address in enumerate(addresses):
        of.take(Token(guest_identity(f"g{number}"), 2**40), address)
    assert refused(of, account("alice"), addresses[0])
    assert not refused(of, account("alice"), "198.51.100.7")


def test_a_refused_one_takes_nothing(of: Quotas) -> None:
    for _ in range(2):
        of.take(account("alice"), "192.0.2.1")
    for _ in range(5):
        assert refused(of, account("alice"), "192.0.2.1")
    of.take(account("bob"), "192.0.2.1")
    of.take(account("carol"), "192.0.2.1")


def test_sockets_of_an_account_share_its_signals(of: Quotas) -> None:
    (_, one), (_, other) = of.take(account("alice"), "192.0.2.1"), of.take(account("alice"), "192.0.2.2")
    assert one.budgets is other.budgets


def test_who_closes_the_last_socket_and_comes_back_has_spent_what_was_spent() -> None:
    clock = Clock()
    of = Quotas(read(Settings), clock)
    taken = of.take(account("alice"), "192.0.2.1")
    for quota in taken:
        assert not quota.budgets.relayed.exceeded(OF_ACCOUNT.relayed)
    of.give_back(taken)
    assert [quota.budgets for quota in of.take(account("alice"), "192.0.2.1")] == [quota.budgets for quota in taken]


def test_who_stays_away_for_a_minute_is_forgotten() -> None:
    clock = Clock()
    of = Quotas(read(Settings), clock)
    for number in range(10):
        of.give_back(of.take(account(f"a{number}"), f"192.0.2.{number}"))
    clock.now += IDLE_SECONDS + 1
    of.take(account("bob"), "198.51.100.7")
    assert len(of._quotas) == 2


def test_without_a_factor_there_are_no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_RATE_LIMIT_FACTOR", "0")
    of = Quotas(read(Settings))
    taken = [of.take(account("alice"), "192.0.2.1") for _ in range(50)]
    assert {quota.sockets for quotas in taken for quota in quotas} == {50}
