"""Opaque page cursors: what a query needs to go on, as URL-safe text."""

import base64
from typing import Annotated, Any

import msgspec

from libs.common.errors import INVALID_INPUT, PresenceError
from libs.common.ids import is_id

Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A `seq` or an offset in a position: what a database can take, whoever made the cursor."""


Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*\Z")]
"""A text in a position: PostgreSQL keeps no NUL."""


def encode(*position: Any) -> str:
    """A cursor for a keyset position of JSON values."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode[Position](cursor: str, form: type[Position]) -> Position:
    """The position, checked against its tuple type. Raises `invalid_input` for a cursor we cannot have made."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=form)
    except (msgspec.MsgspecError, ValueError) as error:
        raise _malformed() from error


def decode_id(cursor: str) -> str:
    """The position, if it is one id. Raises `invalid_input`."""
    (position,) = decode(cursor, tuple[str])
    if not is_id(position):
        raise _malformed()
    return position


def _malformed() -> PresenceError:
    text = "The cursor is not one of ours; begin again without it."
    return PresenceError(INVALID_INPUT, text, {"fields": {"cursor": ["Malformed."]}})
