"""Asks the one policy (libs/common/access.py) at the moment of use, and checks that ids belong to the space named."""

from collections.abc import Sequence
from typing import cast

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Action, Standing
from libs.common.bus.base import Caller
from libs.common.errors import NOT_FOUND, UNAUTHORIZED, PresenceError
from libs.common.identity import Identity, Kind
from libs.common.spaces import SpaceKey


class Policy:
    """`operators` are the accounts that the settings name as such."""

    def __init__(self, operators: tuple[str, ...]) -> None:
        self._operators = operators

    async def require(self, connection: AsyncConnection, caller: Caller, space: SpaceKey, action: Action) -> Standing:
        """Returns the caller's standing in `space` if it allows `action`. Raises as `Standing.require` does."""
        (standing,) = await self.standings(connection, [caller], space)
        standing.require(action)
        return standing

    async def standings(
        self, connection: AsyncConnection, callers: Sequence[Caller], space: SpaceKey
    ) -> list[Standing]:
        """Returns each caller's standing in `space`, in their order, by one query."""
        people = [(caller.identity, caller.address) for caller in callers]
        return await access.look_at_all(connection, people, space, self._operators)

    async def readers(self, connection: AsyncConnection, accounts: Sequence[str], space: SpaceKey) -> set[str]:
        """Returns those of `accounts` that may read what is written in `space`; they need not be in it."""
        if not accounts:
            return set()
        people = [(Identity("account", account, account), "") for account in accounts]
        standings = await access.look_at_all(connection, people, space, self._operators)
        return {account for account, standing in zip(accounts, standings, strict=True) if standing.may_enter}

    async def require_over_words_of(
        self, connection: AsyncConnection, caller: Caller, space: SpaceKey, author_key: str
    ) -> None:
        """Raises `forbidden` unless the caller may take back the words of the author with that `Identity.key`."""
        standing = await self.require(connection, caller, space, Action.MODERATE)
        kind, _, author_id = author_key.partition(":")
        author = Identity(cast("Kind", kind), author_id, author_id)
        standing.require_over_words_of(await access.look(connection, author, space, self._operators))


def require_account(caller: Caller) -> str:
    """Returns the caller's account. Raises `unauthorized` for guests and services."""
    if caller.identity.account is None:
        raise PresenceError(UNAUTHORIZED, "This needs a Hive account; log in at /api/auth/login.")
    return caller.identity.account


def require_same_space(space: SpaceKey, space_type: str | None, space_id: str | None) -> None:
    """Raises `not_found` if the caller named a space, and it is not `space`."""
    if (space_type, space_id) not in ((None, None), (space.space_type, space.space_id)):
        raise PresenceError(NOT_FOUND)
