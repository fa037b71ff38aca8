"""The outcome of a call, in a word."""

from collections.abc import Awaitable

from libs.common.errors import PresenceError


async def refusal(call: Awaitable[object]) -> str:
    """Awaits a call; returns the code of the error it ends with, or `ok`."""
    try:
        await call
    except PresenceError as error:
        return error.kind.code
    return "ok"
