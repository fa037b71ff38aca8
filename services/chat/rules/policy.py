"""The house's one policy, asked at the moment of use, and whether an id is where the caller says it is."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Action, Standing
from libs.common.bus.base import Caller
from libs.common.errors import FORBIDDEN, NOT_FOUND, UNAUTHORIZED, PresenceError
from libs.common.identity import Identity
from libs.common.roles import Role
from libs.common.spaces import SpaceKey


class Policy:
    def __init__(self, operators: tuple[str, ...]) -> None:
        self._operators = operators

    async def require(self, connection: AsyncConnection, caller: Caller, space: SpaceKey, action: Action) -> Standing:
        """How the caller stands in `space`, if it may do that there. Raises as `Standing.require` does."""
        (standing,) = await self.standings(connection, [caller], space)
        standing.require(action)
        return standing

    async def standings(
        self, connection: AsyncConnection, callers: Sequence[Caller], space: SpaceKey
    ) -> list[Standing]:
        """How each stands there, in their order, by one query."""
        people = [(caller.identity, caller.address) for caller in callers]
        return await access.look_at_all(connection, people, space, self._operators)

    async def seers(self, connection: AsyncConnection, accounts: Sequence[str], space: SpaceKey) -> set[str]:
        """Those accounts that may be told of what is written in `space`; they need not be here themselves."""
        if not accounts:
            return set()
        people = [(Identity("account", account, account), "") for account in accounts]
        standings = await access.look_at_all(connection, people, space, self._operators)
        return {account for account, standing in zip(accounts, standings, strict=True) if _may_enter(standing)}

    async def require_over(self, connection: AsyncConnection, caller: Caller, space: SpaceKey, author: str) -> None:
        """Whether the caller may take back the words of `author` (an `Identity.key`).

        Moderators may do that to all but the owner and other moderators.
        """
        mine = await self.require(connection, caller, space, Action.MODERATE)
        kind, _, name = author.partition(":")
        if mine.role is Role.MODERATOR and kind == "account":
            theirs = await access.look(connection, Identity("account", name, name), space, self._operators)
            if theirs.role >= Role.MODERATOR:
                raise PresenceError(FORBIDDEN, "Moderators cannot do that to the owner or to each other.")


def _may_enter(standing: Standing) -> bool:
    try:
        standing.require(Action.ENTER)
    except PresenceError:
        return False
    return True


def require_account(caller: Caller) -> str:
    """The caller's account. Raises `unauthorized` for guests and services."""
    if caller.identity.account is None:
        raise PresenceError(UNAUTHORIZED, "This needs a Hive account; log in at /api/auth/login.")
    return caller.identity.account


def require_there(space: SpaceKey, space_type: str | None, space_id: str | None) -> None:
    """Raises `not_found` if the caller named a space, and it is another."""
    if space_id is not None and SpaceKey.parse(space_type or "", space_id) != space:
        raise PresenceError(NOT_FOUND)
