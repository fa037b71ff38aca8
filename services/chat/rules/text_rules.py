"""What a text may hold."""

import re
import unicodedata

import regex

from libs.common.contracts.schema.characters import SEEN
from libs.common.errors import INVALID_INPUT, PresenceError

_LAYOUT = "\n\t"
IGNORABLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")  # drawn as nothing at all, fillers too
_SEEN = re.compile(SEEN)


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


def _invalid(text: str) -> PresenceError:
    return PresenceError(INVALID_INPUT, details={"fields": {"content": [text]}})
