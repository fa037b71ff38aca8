"""What a text may hold."""

import pytest

from libs.common.errors import PresenceError
from services.chat.rules.text_rules import clean


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
