"""The one way to act in a space's name: allowed, recorded in the audit trail once, published, and enforced.

The change, its audit row, the removals and the event are one transaction; the access epoch follows the commit.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Action, Standing
from libs.common.bus.base import Caller
from libs.common.contracts.registry import Event
from libs.common.db.event_log import EventLog
from libs.common.errors import CONFLICT, PresenceError
from libs.common.spaces import SpaceKey
from services.spaces_auth.moderation import audit_repository, removals_repository
from services.spaces_auth.moderation.access_epochs import AccessEpochs
from services.spaces_auth.moderation.audit_repository import Entry
from services.spaces_auth.moderation.removals_repository import Removal
from services.spaces_auth.moderation.subjects import Subject


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is allowed and has yet to be made. `apply` gets the id of the audit row."""

    entry: Entry
    event: Event[Any]
    payload: Any
    apply: Callable[[AsyncConnection, str], Awaitable[None]]
    removal: Removal | None = None


class AuditedChanges:
    """`operators` are the accounts that the settings name as such."""

    def __init__(self, log: EventLog, epochs: AccessEpochs, operators: tuple[str, ...]) -> None:
        self._log = log
        self._epochs = epochs
        self._operators = operators

    async def require(self, connection: AsyncConnection, caller: Caller, space: SpaceKey, action: Action) -> Standing:
        """Returns the caller's standing in `space` if it allows `action`. Raises as `Standing.require` does."""
        standing = await access.look(connection, caller.identity, space, self._operators, caller.address)
        standing.require(action)
        return standing

    async def require_over(self, connection: AsyncConnection, moderator: Standing, subject: Subject) -> None:
        """Raises `forbidden` for a person on whom the moderator may not act; an address range always passes."""
        if subject.identity:
            person = await access.look(connection, subject.identity, moderator.space, self._operators)
            moderator.require_over(person)

    async def carry_out(
        self,
        caller: Caller,
        space: SpaceKey,
        action: Action,
        verb: str,
        client_message_id: str | None,
        prepare: Callable[[AsyncConnection, Standing], Awaitable[Change | None]],
    ) -> str | None:
        """Makes the change that `prepare` returns; returns the id of its audit row, None if there was nothing to do.

        `verb` is the change's name in the audit trail. A command that comes again, by its client's id, changes nothing.
        Raises `conflict` for an id that another command had: a reply must not claim what was never carried out.
        """
        async with self._log.transaction() as tx:
            standing = await self.require(tx.connection, caller, space, action)
            known = await _recorded(tx.connection, caller, space, verb, client_message_id)
            change = None if known else await prepare(tx.connection, standing)
            if change is None:
                return known or await _recorded(tx.connection, caller, space, verb, client_message_id)
            made = await audit_repository.record(tx.connection, space, caller, client_message_id, change.entry)
            if made is None:
                return await _recorded(tx.connection, caller, space, verb, client_message_id)
            await change.apply(tx.connection, made)
            event = await tx.append(change.event, space, caller, lambda _: change.payload)
            if change.removal:
                await removals_repository.insert(tx.connection, space, event.seq, change.removal)
        await self._epochs.raise_soon(event)
        return made


async def _recorded(
    connection: AsyncConnection, caller: Caller, space: SpaceKey, verb: str, client_message_id: str | None
) -> str | None:
    """Returns the id of the audit row that this command made before. Raises `conflict` if the id was another's."""
    row = await audit_repository.recorded(connection, caller.identity.key, client_message_id)
    if row and (row.space_type, row.space_id, row.action) != (space.space_type, space.space_id, verb):
        raise PresenceError(CONFLICT, "That client_message_id was another command's.")
    return row.id if row else None
