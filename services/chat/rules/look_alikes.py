"""How people see letters: width, accents, case and what is drawn as nothing do not count, and look-alikes are equal.

Look-alikes are Unicode's confusables (UTS #39), as `homoglyphs_fork` carries them. `m` and `rn` are not taken for each
other, or `burn` would be `bum`.
"""

import json
import unicodedata
from collections import defaultdict
from functools import cache
from importlib import resources
from string import ascii_lowercase

import regex

from services.chat.rules.text_rules import IGNORABLE

# Marks of no script of their own are accents, but for those that make another letter of a kana; and U+0640, which
# stretches Arabic.
_ACCENT = regex.compile(r"[[\p{Script=Inherited}\u0640]--[\u3099\u309A]]+", regex.VERSION1)
_OTHER = r"[\p{Cyrillic}\p{Greek}]"
_MIXED = regex.compile(rf"\p{{Latin}}{_OTHER}|{_OTHER}\p{{Latin}}")  # letters of two alphabets in one word
_DIGIT_AS_LETTER = regex.compile(r"(?<=\p{L})[01]|[01](?=\p{L})")  # `c00l`, not `100`
# Letters that Unicode neither decomposes nor calls confusable: 🅐, 🅰 and ᴀ (there is none of x).
_CAPITALS = ascii_lowercase.replace("x", "")
_DRAWN = {first + n: letter for first in (0x1F150, 0x1F170) for n, letter in enumerate(ascii_lowercase)} | {
    ord(unicodedata.lookup(f"LATIN LETTER SMALL CAPITAL {letter}")): letter for letter in _CAPITALS
}


def readings(text: str) -> tuple[str, str]:
    """Returns `text` as it looks, in small letters: read in the case that it has, and read in small letters.

    `kiII` is `kill` in the first, `ILL` is `ill` in the second.
    """
    plain = _plain(text)
    return _as_seen(plain), _as_seen(plain.casefold())


def in_capitals(text: str) -> str:
    """Returns `text` as it looks in capitals, of which more are alike: the K of Latin and Cyrillic, say."""
    return _as_seen(_plain(text).upper())


def mixes_alphabets(text: str) -> bool:
    return bool(_MIXED.search(_plain(text)))


def _plain(text: str) -> str:
    plain = unicodedata.normalize("NFKD", IGNORABLE.sub("", text.translate(_DRAWN)))
    return unicodedata.normalize("NFC", _ACCENT.sub("", plain))


def _as_seen(text: str) -> str:
    table = _look_alikes()
    return _DIGIT_AS_LETTER.sub(lambda digit: "ol"[int(digit[0])], text).translate(table).casefold()


@cache
def _look_alikes() -> dict[int, str]:
    """Returns letter → the one that stands for all that look like it: a small one of ASCII if there is one."""
    data = resources.files("homoglyphs_fork").joinpath("confusables.json").read_bytes()
    edges = defaultdict[str, set[str]](set)
    for letter, others in json.loads(data).items():
        for other in others:
            if len(letter) == len(other) == 1 and _is_letter(letter) and _is_letter(other):
                edges[letter].add(other)
                edges[other].add(letter)
    table: dict[int, str] = {}
    for letter in edges:
        if ord(letter) not in table:
            alike = _reached(edges, letter)
            stands_for_all = min(alike, key=lambda c: (not c.isascii(), not c.islower(), c))
            table |= {ord(c): stands_for_all for c in alike}
    return table


def _is_letter(character: str) -> bool:
    """Returns true also for signs that look like letters, and for those that Python's Unicode does not know yet."""
    return character.isalpha() or unicodedata.category(character) in ("So", "Cn")


def _reached(edges: dict[str, set[str]], letter: str) -> set[str]:
    reached, left = {letter}, [letter]
    while left:
        found = edges[left.pop()] - reached
        reached |= found
        left += found
    return reached
