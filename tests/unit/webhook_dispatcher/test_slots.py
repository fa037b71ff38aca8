"""Whose deliveries are sent next when there are more than slots."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.webhook_dispatcher.posting.hosts import host_of
from services.webhook_dispatcher.posting.slots import Endpoint, Holder, Slots
from services.webhook_dispatcher.settings import Settings
from tests.support.settings import defaults

NOW = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def slots(seconds: Seconds | None = None, **changes: Any) -> Slots:
    return Slots(defaults(Settings, **changes), seconds or Seconds())


def endpoint(name: str, account: str, *, first: int = 4, retries: int = 0, **changes: Any) -> Endpoint:
    """An endpoint of a host of its own, due since as many seconds as `age` says."""
    age = changes.pop("age", 0)
    holder = Holder(name, account, changes.pop("host", name), changes.pop("is_probed", False))
    return Endpoint(holder, first, retries, NOW - timedelta(seconds=age))


def given(slots: Slots, endpoints: list[Endpoint], free: int) -> dict[str, int]:
    return {share.endpoint.holder.subscription_id: share.taken for share in slots.share_out(endpoints, free)}


def hold(slots: Slots, one: Endpoint, times: int = 1) -> None:
    for _ in range(times):
        slots.take(one.holder)


def test_an_account_with_many_endpoints_gets_no_more_than_one_with_few() -> None:
    crowd = [endpoint(f"c{n}", "crowd", age=1000) for n in range(20)]
    shared = given(slots(), [*crowd, endpoint("one", "lone")], 8)
    assert shared.pop("one") == 4
    assert sum(shared.values()) == 4


def test_what_is_held_already_counts_for_its_account() -> None:
    table, slow = slots(), endpoint("slow", "busy")
    hold(table, slow, 3)
    assert given(table, [endpoint("other", "busy", age=1000), endpoint("one", "lone")], 3) == {"one": 3}


def test_an_account_holds_at_most_its_part() -> None:
    crowd = [endpoint(f"c{n}", "crowd") for n in range(100)]
    assert sum(given(slots(), crowd, 256).values()) == 64


def test_a_subscription_holds_at_most_its_part() -> None:
    table, busy = slots(), endpoint("busy", "a", first=50)
    hold(table, busy, 3)
    assert given(table, [busy], 100) == {"busy": 1}


def test_first_attempts_come_before_retries() -> None:
    both = [endpoint("old", "a", first=0, retries=4, age=1000), endpoint("new", "b", first=2)]
    assert given(slots(), both, 1) == {"new": 1}
    (share,) = slots().share_out([endpoint("one", "a", first=1, retries=3)], 2)
    assert (share.first, share.retries) == (1, 1)


def test_an_endpoint_that_gave_no_answer_holds_one_slot() -> None:
    table, hanging = slots(), endpoint("hanging", "a", is_probed=True)
    assert given(table, [hanging], 10) == {"hanging": 1}
    hold(table, hanging)
    assert given(table, [hanging], 10) == {}


def test_endpoints_that_gave_no_answer_hold_a_quarter_together() -> None:
    table = slots()
    hanging = [endpoint(f"h{n}", f"account {n}", is_probed=True) for n in range(200)]
    assert sum(given(table, hanging, table.free).values()) == 64
    for one in hanging[:64]:
        hold(table, one)
    assert given(table, [*hanging[64:], endpoint("well", "z")], table.free) == {"well": 4}


def test_a_host_takes_ten_at_once_whoever_subscribed() -> None:
    table = slots()
    several = [endpoint(f"s{n}", f"account {n}", host="target") for n in range(20)]
    assert sum(given(table, several, 100).values()) == 10
    hold(table, several[0], 4)
    assert sum(given(table, several[1:], 100).values()) == 6


def test_a_host_takes_a_hundred_in_any_second_whoever_subscribed() -> None:
    seconds = Seconds()
    table = slots(seconds, webhook_concurrency_host=1000, webhook_concurrency_each=1000)
    several = [endpoint(f"s{n}", f"account {n}", first=50, host="target") for n in range(4)]
    taken: Counter[float] = Counter()
    for tenth in range(31):
        seconds.now = tenth / 10
        taken[seconds.now] = sum(given(table, several, 200).values())
    assert taken == Counter({0.0: 100, 1.0: 100, 2.0: 100, 3.0: 100})
    assert sum(given(table, [endpoint("other", "a")], 200).values()) == 4


def test_what_is_given_back_can_be_had_again() -> None:
    table, one = slots(), endpoint("one", "a", is_probed=True)
    hold(table, one)
    table.give_back(one.holder)
    assert (table.free, given(table, [one], 10)) == (256, {"one": 1})


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Example.COM./hook", "example.com"),
        ("https://example.com:8443/", "example.com"),
        ("http://127.1/", "127.0.0.1"),
        ("http://2130706433/", "127.0.0.1"),
        ("http://[::1]:80/", "::1"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
    ],
)
def test_a_host_is_one_however_it_is_written(url: str, host: str) -> None:
    assert host_of(url) == host
