"""What is one emoji, and what a text may hold."""

import pytest

from libs.common.errors import PresenceError
from services.chat.rules.text_rules import clean, require_emoji

EMOJI = [
    "👍", "❤️", "❤", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "1️⃣", "#️⃣",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "🧑🏿‍🚀", "©️", "🫠",
]  # fmt: skip
NOT_EMOJI = [
    "", "a", "1", "👍👍", "👍 ", " 👍", "👍a", ":)", "e\u0301", "👍" + "\u0301" * 20, "\u200d", "\ufe0f", "🇩", "🇩🇪🇫",
    "👍\u200d",
    "<b>", "\U0001f3fd\u0301", "👍\ufe0f\ufe0f", "👍🏽🏽",
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
    ],
)
def test_emoji_that_look_the_same_are_the_same(text: str, spelled: str) -> None:
    assert require_emoji(text) == require_emoji(spelled) == spelled


@pytest.mark.parametrize("text", NOT_EMOJI, ids=ascii)
def test_anything_else_is_not(text: str) -> None:
    with pytest.raises(PresenceError):
        require_emoji(text)


@pytest.mark.parametrize(
    "text", ["hello", "a\n\tb", "👩‍👩‍👧", "שלום", "مرحبا", "\u2066right\u2069", "日本語", "e\u0301"]
)
def test_words_of_any_language_are_kept_as_they_are(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    "text",
    ["\x01a", "a\x7f", "a\x9b1m", "\u200b", "\u3000", " \n", "\u3164", "\u2800", "\ufe0f", "\u115f\u034f"],
    ids=ascii,
)
def test_controls_and_the_invisible_are_refused(text: str) -> None:
    with pytest.raises(PresenceError):
        clean(text)
