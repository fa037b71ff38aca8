"""The body of a request as a JSON object, whatever the Content-Type says."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from libs.common.edge.nesting import MAX_DEPTH, is_too_deep
from libs.common.errors import INVALID_INPUT, PresenceError


async def read_object(request: web.Request) -> Mapping[str, Any]:
    """No body is an empty object. Raises `invalid_input`; may be asked again."""
    return _object(await _read(request))


async def _read(request: web.Request) -> bytes:
    """Unpacked; a body that is not packed as its Content-Encoding says is the client's mistake."""
    try:
        return await request.read()
    except web.RequestPayloadError as error:
        raise PresenceError(INVALID_INPUT, "The body could not be read.") from error


def _object(body: bytes) -> Mapping[str, Any]:
    if not body.strip():
        return {}
    try:
        text = body.decode()
        if is_too_deep(text):
            raise PresenceError(INVALID_INPUT, f"The body is nested deeper than {MAX_DEPTH} levels.")
        decoded = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PresenceError(INVALID_INPUT, f"The body is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise PresenceError(INVALID_INPUT, "The body must be a JSON object.")
    return decoded
