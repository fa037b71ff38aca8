"""One way to do something in a space's name: allowed, kept in the audit trail once, told, and enforced.

The change, its audit row, who has to leave and the event are one transaction; the access epoch follows the commit.
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
from services.spaces_auth.moderation import sanctions_repository as repository
from services.spaces_auth.moderation.access_epochs import Epochs
from services.spaces_auth.moderation.sanctions_repository import Entry, Removal
from services.spaces_auth.moderation.subjects import Subject


@dataclass(frozen=True, slots=True)
class Deed:
    """What is to be done once it is allowed. `change` gets the id of the audit row."""

    entry: Entry
    event: Event[Any]
    payload: Any
    change: Callable[[AsyncConnection, str], Awaitable[None]]
    removal: Removal | None = None


class Acting:
    def __init__(self, log: EventLog, epochs: Epochs, operators: tuple[str, ...]) -> None:
        self._log, self._epochs, self._operators = log, epochs, operators

    async def look(self, connection: AsyncConnection, caller: Caller, space: SpaceKey, action: Action) -> Standing:
        """How the caller stands. Raises as `Standing.require` does."""
        standing = await access.look(connection, caller.identity, space, self._operators, caller.address)
        standing.require(action)
        return standing

    async def require_over(self, connection: AsyncConnection, mine: Standing, subject: Subject) -> None:
        """Raises `forbidden` for a person whom the caller may not touch."""
        if subject.identity:
            theirs = await access.look(connection, subject.identity, mine.space, self._operators)
            mine.require_over(theirs)

    async def carry_out(
        self,
        caller: Caller,
        space: SpaceKey,
        action: Action,
        verb: str,
        client_message_id: str | None,
        prepare: Callable[[AsyncConnection, Standing], Awaitable[Deed | None]],
    ) -> str | None:
        """Do what `prepare` says; the id of its audit row, or None where it found nothing to do.

        `verb` is what the audit trail calls it. A command that comes again, by its client's id, changes nothing.
        Raises `conflict` for an id that was another command's: that it is done must not be said of what is not.
        """
        async with self._log.transaction() as tx:
            standing = await self.look(tx.connection, caller, space, action)
            known = await _recorded(tx.connection, caller, space, verb, client_message_id)
            deed = None if known else await prepare(tx.connection, standing)
            made = (
                await repository.record(tx.connection, space, caller, client_message_id, deed.entry) if deed else None
            )
            if deed is None or made is None:
                return known or await _recorded(tx.connection, caller, space, verb, client_message_id)
            await deed.change(tx.connection, made)
            event = await tx.append(deed.event, space, caller, lambda _: deed.payload)
            if deed.removal:
                await repository.remove(tx.connection, space, event.seq, deed.removal)
        await self._epochs.raise_soon(event)
        return made


async def _recorded(
    connection: AsyncConnection, caller: Caller, space: SpaceKey, verb: str, client_message_id: str | None
) -> str | None:
    """The id of the audit row that the command made before. Raises `conflict` where the id was another's."""
    row = await repository.recorded(connection, caller.identity.key, client_message_id)
    if row and (row.space_type, row.space_id, row.action) != (space.space_type, space.space_id, verb):
        raise PresenceError(CONFLICT, "That client_message_id was another command's.")
    return row.id if row else None
