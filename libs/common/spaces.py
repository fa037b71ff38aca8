"""The name of a space: `space_type:space_id:subspace`.

One sequence, one access epoch and one Redis channel belong to a `SpaceKey` (type and id); its
subspaces share them.
"""

import re
from dataclasses import dataclass
from typing import Final

from libs.common.errors import INVALID_INPUT, NOT_FOUND, PresenceError

MAIN: Final = "main"
_ACCOUNT = r"[a-z][a-z0-9.-]{2,15}"
# The chain takes any UTF-8; what would break a path or a space key is left out.
_PERMLINK = r"[^\s/:?#%\x00-\x1f\x7f]{1,255}"
ID_FORMS: Final = {
    "post": rf"{_ACCOUNT}/{_PERMLINK}",
    "document": rf"[1-9][0-9]{{0,17}}|{_ACCOUNT}/[A-Za-z0-9_.-]{{1,255}}",
    "global": "lobby",
    "community": r"hive-[0-9]{1,9}",
    "event": r"[A-Za-z0-9_-]{1,64}",
}
"""The ids of each type of space, as regular expressions that JavaScript reads as well."""
ANY_ID: Final = "|".join(ID_FORMS.values())
_FORMS: Final = {space_type: re.compile(form) for space_type, form in ID_FORMS.items()}
_ANY_FORM: Final = re.compile(ANY_ID)
_SUBSPACE = re.compile(r"[A-Za-z0-9_-]{1,64}")
SPACE_TYPES: Final = tuple(ID_FORMS)


@dataclass(frozen=True, slots=True, order=True)
class SpaceKey:
    """Type and id of a space; `str(key)` is `post:bob/my-post`."""

    space_type: str
    space_id: str

    def __str__(self) -> str:
        return f"{self.space_type}:{self.space_id}"

    @classmethod
    def parse(cls, space_type: str, space_id: str) -> "SpaceKey":
        """Returns the key of both parts.

        Raises `invalid_input` naming the bad one, `not_found` for an id that is one of another type.
        """
        form = _FORMS.get(space_type)
        if form is None:
            raise PresenceError(
                INVALID_INPUT,
                f"Unknown space type; use one of {', '.join(SPACE_TYPES)}.",
                {"fields": {"space_type": ["Unknown."]}},
            )
        if form.fullmatch(space_id) and _is_text(space_id):
            return cls(space_type, space_id)
        if not _ANY_FORM.fullmatch(space_id) or not _is_text(space_id):
            raise PresenceError(
                INVALID_INPUT,
                f"Not an id of a {space_type} space.",
                {"fields": {"space_id": ["Malformed."]}},
            )
        raise PresenceError(NOT_FOUND, f"No {space_type} space has such an id.")

    @classmethod
    def from_text(cls, text: str) -> "SpaceKey":
        """The inverse of `str(key)`."""
        space_type, _, space_id = text.partition(":")
        return cls.parse(space_type, space_id)


def _is_text(value: str) -> bool:
    """Returns false for one with half of a surrogate pair, which no UTF-8 has."""
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


LOBBY: Final = SpaceKey("global", "lobby")


def check_subspace(subspace: str) -> str:
    """`subspace` itself, or `invalid_input`."""
    if not _SUBSPACE.fullmatch(subspace):
        raise PresenceError(
            INVALID_INPUT,
            "A subspace is 1 to 64 letters, digits, '-' or '_'.",
            {"fields": {"subspace": ["Malformed."]}},
        )
    return subspace
