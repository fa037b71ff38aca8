"""The words that an owner does not want to see, found where people see them.

Marks around a word or in it do not hide it (`_word_`, `w.ord`), nor do letters spaced out (`w o r d`), look-alikes,
accents, invisible characters or another script right beside it (`你好word`). Scripts that put no spaces between words,
and Korean, which puts particles behind them, are searched as they stand. A word that is part of a longer one is not
found: `spamalot` is no `spam`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex

from services.chat.rules.look_alikes import in_capitals, mixes_alphabets, readings

_WORD_LETTER = r"[\p{L}\p{M}\p{N}]"
_LETTERS = regex.compile(rf"{_WORD_LETTER}++")
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_SEARCHED_AS_IT_STANDS = regex.compile(rf"{_UNSPACED}|\p{{Hangul}}")
_WORD = regex.compile(rf"[{_WORD_LETTER}--[{_UNSPACED}\p{{Hangul}}]]++", regex.VERSION1)  # `spam` in `你好spam`
_MARKS = r"[._*~·•+|-]"
_MARK_IN_WORD = regex.compile(rf"(?<={_WORD_LETTER}){_MARKS}++(?={_WORD_LETTER})")  # no apostrophe: `he'll`
_GAP_IN_UNSPACED = regex.compile(rf"(?<={_UNSPACED})(?:{_MARKS}|\s){{1,3}}(?={_UNSPACED})")
_GAP = r"[^\p{L}\p{M}\p{N}'\u2019]{1,3}"  # no apostrophe here either: `I'm a d.j.`
_SPACED_OUT = regex.compile(
    rf"(?<![\p{{L}}\p{{M}}\p{{N}}'\u2019]){_WORD_LETTER}(?:{_GAP}{_WORD_LETTER}(?!{_WORD_LETTER}))+"
)
SHORTEST_SPACED_OUT = 3  # letters: `a b` is no `ab`


@dataclass(frozen=True, slots=True)
class _Entries:
    """What is looked for in one reading. `words` have a space before, after and between them; `anywhere` need none."""

    words: tuple[str, ...]
    anywhere: tuple[str, ...]
    letters: tuple[str, ...]  # of `words`, for those that are spaced out

    @classmethod
    def of(cls, read: Sequence[str]) -> "_Entries":
        anywhere = tuple(entry for entry in read if entry and _stands_anywhere(entry))
        words = tuple(_words(entry) for entry in read if not _stands_anywhere(entry))
        letters = [entry.replace(" ", "") for entry in words]
        return cls(words, anywhere, tuple(entry for entry in letters if len(entry) >= SHORTEST_SPACED_OUT))

    def are_in(self, reading: str) -> bool:
        spaced_out = ["".join(_LETTERS.findall(run)) for run in _SPACED_OUT.findall(reading)]
        return (
            _has_any([reading, _GAP_IN_UNSPACED.sub("", reading), *spaced_out], self.anywhere)
            or _has_any([_words(reading), _words(_MARK_IN_WORD.sub("", reading))], self.words)
            or _has_any(spaced_out, self.letters)
        )


@dataclass(frozen=True, slots=True)
class Blocked:
    """An owner's list, as it reads in small letters and in capitals."""

    small: _Entries
    capital: _Entries

    def is_in(self, text: str) -> bool:
        """Returns true if people see an entry in the text. Whoever mixes alphabets is read in capitals too."""
        if any(self.small.are_in(reading) for reading in set(readings(text))):
            return True
        return mixes_alphabets(text) and self.capital.are_in(in_capitals(text))


@lru_cache(maxsize=1000)
def blocked(entries: tuple[str, ...]) -> Blocked:
    """Returns the list that an owner wrote, ready to be looked for."""
    wanted = [entry.strip() for entry in entries]
    read = [readings(entry)[1] for entry in wanted]
    read += ["l" + entry[1:] for entry in read if entry.startswith("i")]  # `ldiot` is seen as `Idiot`
    return Blocked(_Entries.of(read), _Entries.of([in_capitals(entry) for entry in wanted]))


def _stands_anywhere(entry: str) -> bool:
    return bool(_SEARCHED_AS_IT_STANDS.search(entry)) or not _WORD.search(entry)  # an emoji, say


def _words(reading: str) -> str:
    return f" {' '.join(_WORD.findall(reading))} "


def _has_any(texts: Sequence[str], wanted: Sequence[str]) -> bool:
    return any(word in text for text in texts for word in wanted)
