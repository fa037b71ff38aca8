"""The words that an owner does not want to see, found where people see them.

Marks around a word or in it do not hide it (`_word_`, `w.ord`), nor do letters spaced out (`w o r d`), look-alikes,
accents or invisible characters. Scripts that put no spaces between words, and Korean, which puts particles behind them,
are searched as they stand. A word that is part of a longer one is not found: `spamalot` is no `spam`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex

from services.chat.rules.look_alikes import readings

_WORD_LETTER = r"[\p{L}\p{M}\p{N}]"
_WORD = regex.compile(rf"{_WORD_LETTER}++")
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_SEARCHED_AS_IT_STANDS = regex.compile(rf"{_UNSPACED}|\p{{Hangul}}")
_MARKS = r"[._*~·•+|-]"
_MARK_IN_WORD = regex.compile(rf"(?<={_WORD_LETTER}){_MARKS}++(?={_WORD_LETTER})")  # no apostrophe: `he'll`
_GAP_IN_UNSPACED = regex.compile(rf"(?<={_UNSPACED})(?:{_MARKS}|\s){{1,3}}(?={_UNSPACED})")
_GAP = r"[^\p{L}\p{M}\p{N}'\u2019]{1,3}"  # no apostrophe here either: `I'm a d.j.`
_SPACED_OUT = regex.compile(
    rf"(?<![\p{{L}}\p{{M}}\p{{N}}'\u2019]){_WORD_LETTER}(?:{_GAP}{_WORD_LETTER}(?!{_WORD_LETTER}))+"
)
SHORTEST_SPACED_OUT = 3  # letters: `a b` is no `ab`


@dataclass(frozen=True, slots=True)
class Blocked:
    """An owner's list. `words` have a space before, after and between them; `anywhere` need none around them."""

    words: tuple[str, ...]
    anywhere: tuple[str, ...]
    letters: tuple[str, ...]  # of `words`, for those that are spaced out

    def is_in(self, text: str) -> bool:
        """Returns true if people see an entry in the text."""
        return any(self._is_in(reading) for reading in set(readings(text)))

    def _is_in(self, reading: str) -> bool:
        spaced_out = ["".join(_WORD.findall(run)) for run in _SPACED_OUT.findall(reading)]
        return (
            _has_any([reading, _GAP_IN_UNSPACED.sub("", reading), *spaced_out], self.anywhere)
            or _has_any([_words(reading), _words(_MARK_IN_WORD.sub("", reading))], self.words)
            or _has_any(spaced_out, self.letters)
        )


@lru_cache(maxsize=1000)
def blocked(entries: tuple[str, ...]) -> Blocked:
    """Returns the list that an owner wrote, ready to be looked for."""
    read = [readings(entry.strip())[1] for entry in entries]
    anywhere = tuple(entry for entry in read if entry and _stands_anywhere(entry))
    words = tuple(_words(entry) for entry in read if not _stands_anywhere(entry))
    letters = [entry.replace(" ", "") for entry in words]
    return Blocked(words, anywhere, tuple(entry for entry in letters if len(entry) >= SHORTEST_SPACED_OUT))


def _stands_anywhere(entry: str) -> bool:
    return bool(_SEARCHED_AS_IT_STANDS.search(entry)) or not _WORD.search(entry)  # an emoji, say


def _words(reading: str) -> str:
    return f" {' '.join(_WORD.findall(reading))} "


def _has_any(texts: Sequence[str], wanted: Sequence[str]) -> bool:
    return any(word in text for text in texts for word in wanted)
