"""What a guest may be called: something that can be seen, and that leaves the mark behind it as it is."""

import pytest

from libs.common.contracts.auth import GuestRequest
from libs.common.contracts.schema import load
from libs.common.errors import INVALID_INPUT, PresenceError


@pytest.mark.parametrize("name", ["Al", "  Al ", "Zoë", "李雷", "👩‍🚀", "نور", "a b", "x" * 32])
def test_a_name_is_taken_as_it_is(name: str) -> None:
    assert load(GuestRequest, {"display_name": name}) == GuestRequest(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\u200b",
        "\u00a0\u3000",
        "\u3164",
        "\u2800 \u115f\ufe0f",
        "a\nb",
        "a\x85b",
        "a\u2028b",
        "\u202ealice",
        "alice\u2066",
        "\u200falice",
        "x" * 33,
        "\u00ad",
        "\u206a",
        "\ufff9",
        "\U000e0100",
        "\U000e0041",
        "\U0001d159",
        "al\u00adice",
        "alice\U000e0041",
        "a\u3164",
        "\u061calice",
        "\U0001d173x",
        "\u200d\ufe0f",
    ],
    ids=ascii,
)
def test_a_name_that_is_not_seen_or_hides_the_mark_is_refused(name: str) -> None:
    with pytest.raises(PresenceError) as raised:
        load(GuestRequest, {"display_name": name})
    assert raised.value.kind is INVALID_INPUT


@pytest.mark.parametrize(
    "name", [" " * 60_000 + "\n", "a" * 60_000 + "\n", " a" * 30_000 + "\u202e"], ids=["blank", "a", "both"]
)
def test_a_long_name_is_refused(name: str) -> None:
    with pytest.raises(PresenceError):
        load(GuestRequest, {"display_name": name})
