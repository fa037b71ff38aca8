"""What one emoji is, and the one way in which it is spelled, so that what looks the same is counted together."""

import unicodedata

import regex

from libs.common.errors import INVALID_INPUT, PresenceError

# U+FE0F and U+FE0E ask for an emoji's colours and for its black and white form. Pickers, phones and old clients put
# them, leave them out, or put them after a skin tone; whoever reacts means the same each time.
_SELECTOR = regex.compile(r"(?<=[^\uFE0E\uFE0F])[\uFE0E\uFE0F]")
# One grapheme can hold any number of accents, so the parts of an emoji are spelled out (Unicode TR51).
_PART = r"\p{Extended_Pictographic}\p{Emoji_Modifier}?"
_EMOJI = regex.compile(
    rf"{_PART}(?:\u200D{_PART})*"
    r"|\p{Regional_Indicator}{2}"
    r"|[0-9#*]\u20E3"
    r"|\U0001F3F4[\U000E0030-\U000E0039\U000E0061-\U000E007A]{3,6}\U000E007F"  # a region's flag: England, Texas
)
_GRAPHEME = regex.compile(r"\X")
_WITHOUT_COLOURS = regex.compile(
    r"(?<=[\p{Extended_Pictographic}--\p{Emoji_Presentation}])(?!\p{Emoji_Modifier})|(?<=[0-9#*])(?=\u20E3)",
    regex.VERSION1,
)


def require_emoji(text: str) -> str:
    """Returns the normal form of one emoji: Unicode's fully qualified one. Raises `invalid_input` for anything else."""
    bare = _SELECTOR.sub("", unicodedata.normalize("NFC", text))
    if not (_EMOJI.fullmatch(bare) and _GRAPHEME.fullmatch(bare)):
        raise PresenceError(INVALID_INPUT, "A reaction is one emoji.", {"fields": {"emoji": ["Not one emoji."]}})
    return _WITHOUT_COLOURS.sub("\ufe0f", bare)
