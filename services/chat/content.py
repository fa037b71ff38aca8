"""What a text may be, and whom it names."""

import re
import unicodedata

import regex

from libs.common.errors import INVALID_INPUT, PresenceError

# An account's name is 3 to 16 characters; the end of it must be the end of the word, or a longer word would mention
# whoever has its beginning as a name.
_MENTION = re.compile(r"(?<![\w@/.-])@([a-z][a-z0-9.-]{1,14}[a-z0-9])(?!\w|[.-][a-z0-9])")
MAX_MENTIONS = 20

_LAYOUT = "\n\t"
_UNSEEN = ("C", "Z")  # categories: control, format, unassigned; space, line and paragraph separators

# One grapheme can hold any number of accents, so what an emoji is made of is spelled out (Unicode TR51).
_EMOJI = regex.compile(
    r"(?:\p{Extended_Pictographic}[\uFE0F\p{Emoji_Modifier}]*[\U000E0020-\U000E007F]*)"
    r"(?:\u200D\p{Extended_Pictographic}[\uFE0F\p{Emoji_Modifier}]*)*"
    r"|\p{Regional_Indicator}{2}"
    r"|[0-9#*]\uFE0F?\u20E3"
)
_GRAPHEME = regex.compile(r"\X")


def clean(text: str) -> str:
    """`text` with one kind of line end. Raises `invalid_input` for control characters and for what cannot be seen."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isprintable():
        bad = next((c for c in text if _is_control(c)), None)
        if bad:
            raise _invalid(f"Has the control character U+{ord(bad):04X}.")
    if all(unicodedata.category(character)[0] in _UNSEEN for character in text):
        raise _invalid("Has nothing to see.")
    return text


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc" and character not in _LAYOUT


def mentioned(text: str) -> list[str]:
    """Account names after an @, each once, in order of appearance."""
    return list(dict.fromkeys(_MENTION.findall(text)))[:MAX_MENTIONS]


def require_emoji(text: str) -> str:
    """`text`, composed (NFC), if it is one emoji: one grapheme. Raises `invalid_input` for anything else."""
    text = unicodedata.normalize("NFC", text)
    if not (_EMOJI.fullmatch(text) and _GRAPHEME.fullmatch(text)):
        raise PresenceError(INVALID_INPUT, "A reaction is one emoji.", {"fields": {"emoji": ["Not one emoji."]}})
    return text


def _invalid(text: str) -> PresenceError:
    return PresenceError(INVALID_INPUT, details={"fields": {"content": [text]}})
