"""The characters that texts may hold are Unicode's own sets."""

import re

import pytest
import regex

from libs.common.contracts.schema import characters

EVERY = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF)
USEFUL = r"\u200c\u200d\ufe00-\ufe0f"  # a word's joiners, an emoji's variants
EMPTY_SIGNS = r"\u2800\U0001d159"  # of Braille and of music: drawn, with nothing in them


def ranges_of(described: str) -> tuple[tuple[int, int], ...]:
    runs = regex.finditer(f"(?:{described})+", EVERY, regex.VERSION1)
    return tuple((ord(run[0][0]), ord(run[0][-1])) for run in runs)


def test_hidden_is_what_formats_separates_lines_or_is_ignored_by_default() -> None:
    described = rf"[[\p{{Cf}}\p{{Zl}}\p{{Zp}}\p{{Default_Ignorable_Code_Point}}]--[{USEFUL}]]"
    assert ranges_of(described) == characters.HIDDEN


def test_blank_is_every_space_and_what_is_drawn_as_nothing_beside_others() -> None:
    assert ranges_of(rf"[\p{{Zs}}{USEFUL}{EMPTY_SIGNS}]") == characters.BLANK


@pytest.mark.parametrize("text", ["a", "ب", "é", "👩‍🚀", " a\n", "\u202ea"])
def test_a_text_with_something_to_see_is_visible(text: str) -> None:
    assert re.fullmatch(characters.VISIBLE_TEXT, text)


@pytest.mark.parametrize("text", ["", " \n\t", "\u00ad", "\U000e0041", "\u2800", "\x07a", "a\x9f", "a\x00"], ids=ascii)
def test_a_text_with_nothing_to_see_or_a_control_character_is_not(text: str) -> None:
    assert not re.fullmatch(characters.VISIBLE_TEXT, text)
