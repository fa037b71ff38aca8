"""The people of the tests, and how what they did ended."""

from collections.abc import Awaitable

from libs.common.errors import PresenceError
from libs.common.identity import Identity


def account(name: str) -> Identity:
    return Identity("account", name, name, token_id=f"token-of-{name}")


def guest(name: str) -> Identity:
    """A guest with a token."""
    return Identity("guest", name, name, token_id=f"token-of-{name}")


def stranger(name: str) -> Identity:
    """A guest who shows no token."""
    return Identity("guest", name, name)


def name_of(socket_id: str) -> str:
    return socket_id.partition("-")[2]


async def code_of(asking: Awaitable[object]) -> str:
    """The code of the error that something ends with."""
    try:
        await asking
    except PresenceError as error:
        return error.kind.code
    return "ok"
