"""The rules of a text: the characters it may hold, and what one emoji is."""

import re
import unicodedata

import regex

from libs.common.contracts.characters import SEEN
from libs.common.errors import INVALID_INPUT, PresenceError

_LAYOUT = "\n\t"
IGNORABLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")  # drawn as nothing at all, fillers too
_SEEN = re.compile(SEEN)

# One grapheme can hold any number of accents, so the parts of an emoji are spelled out (Unicode TR51).
_PART = r"\p{Extended_Pictographic}[\uFE0F\p{Emoji_Modifier}]?"
_EMOJI = regex.compile(
    rf"{_PART}(?:\u200D{_PART})*"
    r"|\p{Regional_Indicator}{2}"
    r"|[0-9#*]\uFE0F?\u20E3"
    r"|\U0001F3F4[\U000E0030-\U000E0039\U000E0061-\U000E007A]{3,6}\U000E007F"  # a region's flag: England, Texas
)
_GRAPHEME = regex.compile(r"\X")
# U+FE0F asks for an emoji's colours: needless after one that has them anyway, missing after one that has not.
_NEEDLESS = regex.compile(r"(?<=\p{Emoji_Presentation})\uFE0F")
_MISSING = regex.compile(
    r"(?<=[\p{Extended_Pictographic}--\p{Emoji_Presentation}])(?![\uFE0F\p{Emoji_Modifier}])|(?<=[0-9#*])(?=\u20E3)",
    regex.VERSION1,
)


def clean(text: str) -> str:
    """Returns `text` with one kind of line end. Raises `invalid_input` for control characters and invisible texts."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isprintable():
        control = next((c for c in text if _is_control(c)), None)
        if control:
            raise _invalid(f"Has the control character U+{ord(control):04X}.")
    if not _SEEN.search(text):
        raise _invalid("Has nothing to see.")
    return text


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc" and character not in _LAYOUT


def require_emoji(text: str) -> str:
    """Returns `text` if it is one emoji, one grapheme. Raises `invalid_input` for anything else.

    Emoji that look the same are spelled the same afterwards (fully qualified), so that they are counted as one.
    """
    text = unicodedata.normalize("NFC", text)
    if not (_EMOJI.fullmatch(text) and _GRAPHEME.fullmatch(text)):
        raise PresenceError(INVALID_INPUT, "A reaction is one emoji.", {"fields": {"emoji": ["Not one emoji."]}})
    text = _NEEDLESS.sub("", text)
    return text if len(text) == 1 else _MISSING.sub("\ufe0f", text)  # one alone may mean its black and white form


def _invalid(text: str) -> PresenceError:
    return PresenceError(INVALID_INPUT, details={"fields": {"content": [text]}})
