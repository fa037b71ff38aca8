"""Whether somebody may see a space at all."""

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Standing
from libs.common.bus.base import Caller
from libs.common.errors import BANNED, NOT_FOUND, PresenceError
from libs.common.spaces import SpaceKey


async def require_visible(
    connection: AsyncConnection, caller: Caller, space: SpaceKey, operators: tuple[str, ...]
) -> Standing:
    """Returns the caller's standing. Raises `not_found` for what does not exist or may not be seen, and `banned`."""
    standing = await access.look(connection, caller.identity, space, operators, caller.address)
    if not standing.may_see:
        raise PresenceError(NOT_FOUND)
    if standing.banned:  # a ban hides who is there, too
        raise PresenceError(BANNED)
    return standing
