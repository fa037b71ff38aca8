"""The accounts that a text names: an @ and a Hive name, wherever people see one.

Scripts without spaces put no space around it (`你好@bob`, `@bobさん`), phones write capitals and full-width letters,
people put marks around it (`_@bob_`). An e-mail address names nobody, nor does an @ inside a link.
"""

import unicodedata

import regex

MAX_MENTIONS = 20
_SHORTEST, _LONGEST = 3, 16  # characters of a Hive name
_URL = regex.compile(r"\b[a-z][a-z0-9+.-]{1,15}://[!-~]*", regex.IGNORECASE)
# Before the @, letters and digits that an e-mail address begins with, or what joins the parts of a link. A name is
# parts of letters and digits with dots and hyphens between them; a dot and a capitalised word begin a sentence.
_MENTION = regex.compile(
    r"(?<![\p{Latin}\p{N}][_*~+-]*)(?<![@/=%\p{Latin}\p{N}])"
    r"@([a-z][a-z0-9]*+(?:(?:-|\.(?!(?-i:[A-Z][a-z])))[a-z0-9]++)*+)"
    r"(?!_*[\p{Latin}\p{N}])",
    regex.IGNORECASE,
)


def mentioned(text: str) -> list[str]:
    """Returns the account names after an @, each once, in order of appearance; at most `MAX_MENTIONS`."""
    seen = unicodedata.normalize("NFKC", _URL.sub(" ", text))
    names = (name.lower() for name in _MENTION.findall(seen))
    fitting = (name for name in names if _SHORTEST <= len(name) <= _LONGEST)
    return list(dict.fromkeys(fitting))[:MAX_MENTIONS]
