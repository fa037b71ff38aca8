"""What a member may say: a mute takes words and voice, a closed channel everything that goes through it."""

from typing import Any

import pytest

from libs.common.contracts.members import Member
from libs.common.contracts.moderation import FreeChannel
from libs.common.contracts.presence import Position
from libs.common.contracts.spaces import Authorization
from libs.common.errors import PresenceError
from libs.common.spaces import SpaceKey
from services.realtime.rooms.client import Place
from services.realtime.rooms.speech import avatar_on_entering, is_open, require_avatar, require_open, require_voice

SUIT = {"model": "robot", "colour": "#ff0000", "size": 2}


def place(*, muted: bool = False, closed: list[str] | None = None, role: str = "member", avatar: Any = None) -> Place:
    settings = {"voice_enabled": True, "settings": {"closed_channels": closed or []}}
    member = Member("s", "x", "r1", "main", "dave", None, False, "dave", Position(), avatar, "")
    return Place(SpaceKey("global", "lobby"), member, Authorization(role, 1, 10, settings, muted))


def refusal(check: Any, *arguments: Any) -> str:
    try:
        check(*arguments)
    except PresenceError as error:
        return error.kind.code
    return "ok"


@pytest.mark.parametrize("channel", list(FreeChannel))
def test_an_owner_closes_each_channel_by_itself_and_moderators_pass(channel: FreeChannel) -> None:
    closed = place(closed=[channel.value])
    assert {other: is_open(closed, other) for other in FreeChannel} == {
        other: other != channel for other in FreeChannel
    }
    assert refusal(require_open, closed, channel) == "forbidden"
    assert refusal(require_open, place(closed=[channel.value], role="moderator"), channel) == "ok"


def test_a_mute_takes_the_voice() -> None:
    assert (refusal(require_voice, place(muted=True)), refusal(require_voice, place())) == ("muted", "ok")


@pytest.mark.parametrize(
    "avatar",
    [
        {**SUIT, "sign": "an insult"},
        {**SUIT, "model": "insult"},
        {**SUIT, "an insult": 1},
        [[{"deep": ["insult"]}]],
        "x",
    ],
)
def test_a_muted_members_avatar_takes_no_new_text(avatar: Any) -> None:
    assert refusal(require_avatar, place(muted=True, avatar=SUIT), avatar) == "muted"
    assert refusal(require_avatar, place(avatar=SUIT), avatar) == "ok"


@pytest.mark.parametrize("avatar", [{**SUIT, "colour": "#00ff00"}, {**SUIT, "size": 3}, {"model": "robot"}, None, SUIT])
def test_a_muted_members_avatar_may_change_in_all_that_is_no_text(avatar: Any) -> None:
    assert refusal(require_avatar, place(muted=True, avatar=SUIT), avatar) == "ok"


def test_a_muted_member_brings_no_text_along() -> None:
    assert avatar_on_entering(place(muted=True, avatar=SUIT)) is None
    assert avatar_on_entering(place(muted=True, avatar={"x": "#ff0000"})) is None, "a name is text as well"
    assert avatar_on_entering(place(muted=True, avatar=["#ff0000", 2])) == ["#ff0000", 2]
    assert avatar_on_entering(place(avatar=SUIT)) == SUIT


def test_nobody_brings_an_avatar_where_they_are_closed() -> None:
    assert avatar_on_entering(place(closed=["avatars"], avatar=SUIT)) is None
    assert avatar_on_entering(place(closed=["avatars"], avatar=SUIT, role="owner")) == SUIT
    assert refusal(require_avatar, place(closed=["avatars"]), SUIT) == "forbidden"
