"""What one emoji is, and that one which looks the same is the same, however a picker spells it."""

import pytest

from libs.common.errors import PresenceError
from services.chat.rules.emoji import require_emoji

EMOJI = [
    "👍", "❤️", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "1️⃣", "#️⃣",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "🧑🏿‍🚀", "©️", "🫠",
]  # fmt: skip
NOT_EMOJI = [
    "", "a", "1", "👍👍", "👍 ", " 👍", "👍a", ":)", "e\u0301", "👍" + "\u0301" * 20, "\u200d", "\ufe0f", "🇩", "🇩🇪🇫",
    "👍\u200d",
    "<b>", "\U0001f3fd\u0301", "👍\ufe0f\ufe0f", "\ufe0f👍", "👍🏽🏽",
    "👍\U000e0061", "🏴\U000e0067", "👍\U000e0067\U000e0062\U000e007f",
]  # fmt: skip


@pytest.mark.parametrize("text", EMOJI)
def test_one_emoji_is_a_reaction(text: str) -> None:
    assert require_emoji(text) == text


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("👍\ufe0f", "👍"),
        ("🏳\u200d🌈", "🏳\ufe0f\u200d🌈"),
        ("👁\u200d🗨\ufe0f", "👁\ufe0f\u200d🗨\ufe0f"),
        ("🧑\u200d⚕", "🧑\u200d⚕\ufe0f"),
        ("🕵🏽\u200d♂", "🕵🏽\u200d♂\ufe0f"),
        ("1\u20e3", "1\ufe0f\u20e3"),
        ("❤", "❤\ufe0f"),
        ("❤\ufe0e", "❤\ufe0f"),
        ("👍\ufe0e", "👍"),
        ("✌🏾\ufe0f", "✌🏾"),
        ("✌\ufe0f🏾", "✌🏾"),
        ("🕵\ufe0f🏽\u200d♀", "🕵🏽\u200d♀\ufe0f"),
        ("⛹🏿\ufe0f\u200d♂\ufe0f", "⛹🏿\u200d♂\ufe0f"),
        ("❤\u200d🔥", "❤\ufe0f\u200d🔥"),
        ("🏴\u200d☠", "🏴\u200d☠\ufe0f"),
        ("🇩\ufe0f🇪", "🇩🇪"),
        ("#\ufe0f\u20e3", "#\ufe0f\u20e3"),
    ],
)
def test_emoji_that_look_the_same_are_the_same(text: str, spelled: str) -> None:
    assert require_emoji(text) == require_emoji(spelled) == spelled


@pytest.mark.parametrize("text", NOT_EMOJI, ids=ascii)
def test_anything_else_is_not(text: str) -> None:
    with pytest.raises(PresenceError):
        require_emoji(text)
