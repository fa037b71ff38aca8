"""Slow mode: an author waits between two messages, and so do all guests of one address together.

A guest's id costs nothing: who shows no token is a new guest with each request, and a token is given for the asking.
"""

from collections.abc import Sequence
from math import ceil

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Standing
from libs.common.addresses import limited
from libs.common.bus.base import Caller
from libs.common.errors import SLOW_MODE, PresenceError
from libs.common.roles import Role
from libs.common.spaces import SpaceKey
from services.chat.rules import slow_mode_repository as repository


def seconds_between(standing: Standing) -> int:
    """Returns the seconds between two messages of this author; 0 without slow mode, and for moderators and above."""
    return 0 if standing.role >= Role.MODERATOR else max(int(standing.settings["slow_mode_seconds"]), 0)


def paced_as(caller: Caller) -> list[str]:
    """Returns whose turns a message takes: the author's, and for a guest those of its address too."""
    return [caller.identity.key, *_address(caller)]


async def take_turns(
    connection: AsyncConnection, space: SpaceKey, seconds: int, wanted: Sequence[Sequence[str]]
) -> list[PresenceError | None]:
    """Takes the turns that each wants, one after the other: all of its own, or none if one of them is not free.

    Returns `slow_mode` for who has to wait, in their order, and None for who does not.
    """
    ago = await repository.lock(connection, space, {key for keys in wanted for key in keys})
    taken: set[str] = set()
    outcomes: list[PresenceError | None] = []
    for keys in wanted:
        wait = max(seconds - (0.0 if key in taken else ago[key]) for key in keys)
        outcomes.append(_too_soon(wait) if wait > 0 else None)
        if wait <= 0:
            taken |= set(keys)
    await repository.take(connection, space, sorted(taken))
    return outcomes


async def require_reaction(connection: AsyncConnection, caller: Caller, standing: Standing) -> None:
    """Raises `slow_mode` for a guest whose address reacted too recently; an account counts once on a message anyway."""
    seconds, address = seconds_between(standing), _address(caller)
    if seconds and address:
        (refusal,) = await take_turns(connection, standing.space, seconds, [[f"reaction {key}" for key in address]])
        if refusal:
            raise refusal


def _address(caller: Caller) -> list[str]:
    return [f"address:{limited(caller.address)}"] if caller.identity.guest and caller.address else []


def _too_soon(wait: float) -> PresenceError:
    return PresenceError(SLOW_MODE, details={"retry_after": max(ceil(wait), 1)})
