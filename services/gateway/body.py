"""Reads the body of a request as a JSON object, whatever the Content-Type says."""

import asyncio
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from libs.common.edge.nesting import MAX_DEPTH, is_too_deep
from libs.common.errors import INVALID_INPUT, TOO_LARGE, PresenceError

MAX_BODY = 64 * 1024  # bytes, packed and unpacked
BODY_SECONDS = 15.0  # in which all of them have come; who is slower holds what others wait for
_ENCODINGS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class ClientGone(Exception):
    """The client left while it sent the body: nobody is there to be answered."""


async def read_object(request: web.Request) -> Mapping[str, Any]:
    """Returns the body; an empty one is an empty object. May be called again. Raises `invalid_input`."""
    return _object(await _read(request))


async def _read(request: web.Request) -> bytes:
    """Returns the decompressed bytes. Raises `invalid_input` where they are not as Content-Encoding says."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError as error:
        raise PresenceError(INVALID_INPUT, f"The body did not come within {BODY_SECONDS:g} seconds.") from error
    except ConnectionError as error:
        raise ClientGone from error
    except web.RequestPayloadError as error:
        raise PresenceError(INVALID_INPUT, "The body could not be read.") from error
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity" or not body:
        return body
    if encoding not in _ENCODINGS:
        raise PresenceError(INVALID_INPUT, f"Content-Encoding is one of {', '.join(_ENCODINGS)}.")
    return _unpacked(body, _ENCODINGS[encoding])


def _unpacked(body: bytes, window: int) -> bytes:
    """Raises `too_large` for what unpacks beyond the limit of a body, of which no more is unpacked."""
    unpacker = zlib.decompressobj(window)
    try:
        text = unpacker.decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        raise PresenceError(INVALID_INPUT, "The body is not packed as Content-Encoding says.") from error
    if len(text) > MAX_BODY:
        raise PresenceError(TOO_LARGE)
    if not unpacker.eof:
        raise PresenceError(INVALID_INPUT, "The packed body ends too early.")
    return text


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
