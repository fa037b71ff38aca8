"""Which characters a text may hold and which of them are seen, as patterns that are published with the contract.

The ranges are Unicode's: `tests/unit/common/test_characters.py` compares them with its own properties. They are spelled
out, since Python and JavaScript name properties differently.
"""

HIDDEN = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD), (0x70F, 0x70F), (0x890, 0x891),
    (0x8E2, 0x8E2), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200B), (0x200E, 0x200F),
    (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Format characters, separators of lines, and all that Unicode has drawn as nothing, but for `BLANK`."""
BLANK = (
    (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x200C, 0x200D), (0x202F, 0x202F),
    (0x205F, 0x205F), (0x2800, 0x2800), (0x3000, 0x3000), (0xFE00, 0xFE0F), (0x1D159, 0x1D159),
)  # fmt: skip
"""Spaces, joiners and selectors of variants, which a word or an emoji needs, and two signs that are empty."""


def _class(ranges: tuple[tuple[int, int], ...]) -> str:
    """Returns ranges as they stand in brackets; beyond four digits as themselves, which everybody reads."""
    return "".join(f"{_spelled(first)}-{_spelled(last)}" for first, last in ranges)


def _spelled(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else chr(code)


_BLANK, _HIDDEN = _class(BLANK), _class(HIDDEN)
_CONTROL = r"\x00-\x1f\x7f-\x9f"
_CONTROL_BUT_LAYOUT = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # a line's end and a tab lay a text out

_AROUND = rf"[{_BLANK}{_HIDDEN}\t\n\r]*"
_LETTER = r"A-Za-z\uff21-\uff3a\uff41-\uff5a"  # of full width too, as keyboards of Japan and China write them
_LATER = rf"{_LETTER}0-9.\uff10-\uff19\uff0e\uff0d-"
ACCOUNT = rf"{_AROUND}[@\uff20]?([{_LETTER}][{_LATER}]{{2,15}}){_AROUND}"
"""A Hive account as people write it; its group is the name, but for capitals and width."""
SEEN = rf"[^{_CONTROL}{_HIDDEN}{_BLANK}]"
"""A character that is seen."""
DISPLAY_NAME = rf"[{_BLANK}]*{SEEN}[^{_CONTROL}{_HIDDEN}]*"
"""A name with something to see, and nothing in it that hides or turns round what stands beside it."""
VISIBLE_TEXT = rf"[{_BLANK}{_HIDDEN}\n\r\t]*{SEEN}[^{_CONTROL_BUT_LAYOUT}]*"
"""A text with something to see, and without control characters."""
