"""How deep JSON from outside may be nested: what is taken must be read by everyone who gets it later."""

from itertools import accumulate, count
from operator import sub

MAX_DEPTH = 100  # of objects and lists in each other; clients' parsers and ours give up somewhere above a thousand
_OTHER = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[]{}", bytes((2, 0, 2, 0)))  # each 1 more than it is: bytes are not negative


def is_too_deep(text: str) -> bool:
    """Returns whether JSON is nested deeper than `MAX_DEPTH`, in one pass; brackets in strings do not count."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:  # nearly always
        return False
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])  # of strings
    steps = outside.encode(errors="replace").translate(_STEPS, _OTHER)
    return max(map(sub, accumulate(steps), count(1)), default=0) > MAX_DEPTH
