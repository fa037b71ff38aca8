"""Places at events: taking one, waiting for one, giving it back; and passwords that give access."""

import asyncio
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Standing
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts import events
from libs.common.contracts.events import MOST_PLACES, EventAccess, EventPlace, GetEvent, PlaceLeft, VerifyAccess
from libs.common.contracts.registry import Limit
from libs.common.db.event_log import EventLog, Fact
from libs.common.edge.limits import LimitHere
from libs.common.errors import CONFLICT, FORBIDDEN, RATE_LIMITED, UNAUTHORIZED, PresenceError
from libs.common.roles import Role
from services.spaces_auth.events import events_repository as repository
from services.spaces_auth.events import places_repository as places
from services.spaces_auth.events.event_rules import EventRules, has_access
from services.spaces_auth.events.event_views import given_facts, space_of
from services.spaces_auth.events.passwords import Passwords
from services.spaces_auth.moderation.access_epochs import AccessEpochs

AT_ONCE = 3  # who takes a place at a process; a crowd waits for its turn, and not for all connections to the database
GUESSES = Limit(10, 60)  # of passwords, of an account, at a process


class PlaceHandlers:
    """Accounts alone have places; each raises `not_found` for an event that the caller may not see, and `banned`."""

    def __init__(self, log: EventLog, epochs: AccessEpochs, rules: EventRules, passwords: Passwords) -> None:
        self._log = log
        self._epochs = epochs
        self._rules = rules
        self._passwords = passwords
        self._guesses = LimitHere(GUESSES, 1.0)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def take_place(self, caller: Caller, request: GetEvent) -> EventPlace:
        """Takes a place, or one in the waiting list; one that the caller has stays as it is.

        Raises `forbidden` without access, `conflict` for an event that is over and a waiting list that is full.
        """
        try:
            return await self._take(caller, request.id)
        except places.TakenAtOnceError:
            return await self._take(caller, request.id)

    async def _take(self, caller: Caller, event_id: str) -> EventPlace:
        account = caller.identity.account or ""
        async with self._turns, self._log.transaction() as tx:
            event, standing = await self._rules.seen(tx.connection, caller, event_id)
            _require_access(event, standing)
            taken = await places.take(tx.connection, event, account, MOST_PLACES, now())
            place = taken or await places.place_of(tx.connection, event.id, account)
            if place.place is None:  # it may have been changed since it was read
                _require_access(*await self._rules.seen(tx.connection, caller, event_id))
        if place.place is None:
            raise PresenceError(CONFLICT, "The event and its waiting list are full.")
        return place

    async def give_place_back(self, caller: Caller, request: GetEvent) -> EventPlace:
        """Gives the caller's place back, to whoever waits first. Without one there is nothing to do."""
        account = caller.identity.account or ""
        async with self._log.transaction() as tx:
            await self._rules.seen(tx.connection, caller, request.id, locked=True)
            going = await places.give_back(tx.connection, request.id, account)
            rows = await tx.append_all(await self._facts(tx.connection, request.id, account), caller) if going else []
        for row in rows:
            await self._epochs.raise_soon(row)
        return places.NO_PLACE

    async def _facts(self, connection: AsyncConnection, event_id: str, account: str) -> list[Fact[Any]]:
        event = await repository.get(connection, event_id)
        if event is None:
            return []
        left = PlaceLeft(event.id, account)
        up = await places.move_up(connection, event)
        return [Fact(events.place_left, space_of(event), None, lambda _: left), *given_facts(event, up)]

    async def verify_access(self, caller: Caller, request: VerifyAccess) -> EventAccess:
        """Returns whether the caller has access. The right password gives an account access for good.

        Raises `unauthorized` for a password without an account and `rate_limited` for too many of them.
        """
        async with self._log.transaction() as tx:
            event, standing = await self._rules.seen(tx.connection, caller, request.id)
        allowed = has_access(event, standing)
        if not allowed and request.password and event.access == "password":
            allowed = await self._let_in(caller, event, request.password)
        return EventAccess(allowed, event.cancelled_at is None and event.doors_at <= now() < event.closes_at)

    async def _let_in(self, caller: Caller, event: Row[Any], password: str) -> bool:
        account = caller.identity.account
        if account is None:
            raise PresenceError(UNAUTHORIZED, "A password lets accounts in; log in first.")
        state = self._guesses.spend(account)
        if state.exceeded:
            raise PresenceError(RATE_LIMITED, details={"retry_after": max(state.reset, 1)})
        if not await self._passwords.fits(password, event.password_hash):
            return False
        async with self._log.transaction() as tx:
            present, _ = await self._rules.seen(tx.connection, caller, event.id, locked=True)
            if present.password_hash != event.password_hash:  # it was changed meanwhile
                return False
            if len(await repository.members(tx.connection, event.id)) >= MOST_PLACES:
                raise PresenceError(CONFLICT, "No more accounts can be let in.")
            await repository.let_in(tx.connection, event.id, [account], repository.BY_PASSWORD)
        return True


def _require_access(event: Row[Any], standing: Standing) -> None:
    if standing.role < Role.VISITOR or not has_access(event, standing):
        raise PresenceError(FORBIDDEN, standing.barred)
    if event.cancelled_at is not None or event.ends_at <= now():
        raise PresenceError(CONFLICT, "This event was cancelled or is over.")
