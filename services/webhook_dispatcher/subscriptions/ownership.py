"""Whose a subscription is. One of somebody else is `not_found`, except to operators."""

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Action, Standing
from libs.common.bus.base import Caller
from libs.common.contracts.registry import Registry
from libs.common.contracts.webhooks import Subscription, event_names, for_moderators
from libs.common.errors import FORBIDDEN, INVALID_INPUT, NOT_FOUND, PresenceError
from libs.common.identity import Identity
from libs.common.roles import is_operator
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher.subscriptions import subscriptions_repository as repository

OPERATOR_TOKEN = "@operator"  # noqa: S105  whose subscriptions are the operator token's; no Hive account is called so


class Ownership:
    """What handlers ask before they show or change a subscription."""

    def __init__(self, operators: tuple[str, ...]) -> None:
        self._operators = operators

    def is_operator(self, identity: Identity) -> bool:
        return is_operator(identity, self._operators)

    async def own(
        self, connection: AsyncConnection, identity: Identity, subscription_id: str, *, lock: bool = False
    ) -> Subscription:
        """Returns one's own subscription, any for an operator; `lock` as in the repository. Raises `not_found`."""
        stored = await repository.subscription(connection, subscription_id, lock=lock)
        if stored is None or not (self.is_operator(identity) or stored.created_by == identity.account):
            raise PresenceError(NOT_FOUND)
        return stored

    async def require_moderator(self, connection: AsyncConnection, caller: Caller, space: SpaceKey) -> Standing:
        """Returns the caller's standing. Raises the errors of the space's policy for who does not moderate it."""
        standing = await access.look(connection, caller.identity, space, self._operators, caller.address)
        standing.require(Action.MODERATE)
        return standing

    async def endable(self, connection: AsyncConnection, caller: Caller, subscription_id: str) -> Subscription:
        """Returns a subscription that the caller may end: their own, or one of a space that they moderate.

        Raises `not_found`, and `forbidden` for a moderator's of one who is above them.
        """
        stored = await repository.subscription(connection, subscription_id)
        if stored is None:
            raise PresenceError(NOT_FOUND)
        if self.is_operator(caller.identity) or stored.created_by == caller.identity.account:
            return stored
        space = SpaceKey(stored.space_type, stored.space_id)
        try:
            standing = await self.require_moderator(connection, caller, space)
        except PresenceError as error:
            raise PresenceError(NOT_FOUND) from error
        standing.require_over_words_of(await access.look(connection, owner_of(stored), space, self._operators))
        return stored


class Rights:
    """What an account may be sent, now."""

    def __init__(self, registry: Registry, operators: tuple[str, ...]) -> None:
        self._operators = operators
        self._events = event_names(registry)
        self._for_moderators = for_moderators(registry)

    def known(self, names: Sequence[str]) -> list[str]:
        """Returns `names` without duplicates. Raises `invalid_input` for an unknown name."""
        unknown = [name for name in names if name not in self._events]
        if not unknown:
            return list(dict.fromkeys(names))
        text = f"Unknown: {', '.join(unknown[:10])}. There are {', '.join(self._events)}."
        raise PresenceError(INVALID_INPUT, f"events: {text}", {"fields": {"events": [text]}})

    async def require(
        self,
        connection: AsyncConnection,
        identity: Identity,
        space: SpaceKey,
        events: Collection[str],
        address: str = "",
    ) -> None:
        """Raises the errors of the space's policy where `identity` may not be sent one of `events`."""
        standing = await access.look(connection, identity, space, self._operators, address)
        standing.require(Action.SUBSCRIBE)
        if self._for_moderators.intersection(events):
            standing.require(Action.MODERATE)


def account_of(identity: Identity) -> str:
    """Returns the Hive account of who asks, or the name that the operator token has here. Raises `forbidden`."""
    if identity.account is None and identity.operator:
        return OPERATOR_TOKEN
    if identity.account is None:
        raise PresenceError(FORBIDDEN, "Webhooks belong to Hive accounts; log in with one.")
    return identity.account


def owner_of(stored: Subscription) -> Identity:
    """Returns whom a subscription's events are sent for."""
    return Identity("account", stored.created_by, stored.created_by)
