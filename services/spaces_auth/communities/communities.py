"""The communities that exist: those that Hive told of when somebody came for the first time, refreshed by age.

A stranger who guesses names gets nothing by it: what Hive does not know is remembered in this process, for a while and
up to a number; questions are counted by address and in all; and nothing is stored of a name that is not known.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

import structlog

from libs.common.addresses import limited
from libs.common.bus.base import Caller
from libs.common.contracts import moderation
from libs.common.contracts.moderation import RoleChanged
from libs.common.contracts.registry import Limit
from libs.common.db.event_log import EventLog, Fact
from libs.common.edge.limits import LimitHere
from libs.common.errors import RATE_LIMITED, UNAVAILABLE, PresenceError
from libs.common.hive import HiveClient
from libs.common.identity import service_identity
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from libs.common.tasks.background import Background
from services.spaces_auth.communities import communities_repository as repository
from services.spaces_auth.communities import hive_communities
from services.spaces_auth.communities.hive_communities import HiveCommunity
from services.spaces_auth.moderation.access_epochs import AccessEpochs

_log = structlog.get_logger(__name__)
REFRESH_AGE = timedelta(hours=1)
LOOK_SECONDS = 60.0
PER_LOOK = 60  # communities that are refreshed in a look
UNKNOWN_SECONDS = 600.0  # for which Hive is not asked again for what it did not know
MOST_UNKNOWN = 10_000  # names that are remembered; the oldest go first
FIRST_VISITS = Limit(10, 60)  # of an address to communities that nobody visited before
QUESTIONS = Limit(120, 60)  # to Hive for such communities, of a process


class Communities:
    """A component that refreshes, and `ensure`, which asks at a first visit."""

    def __init__(
        self, log: EventLog, epochs: AccessEpochs, hive: HiveClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._epochs = epochs
        self._hive = hive
        self._clock = clock
        self._unknown: OrderedDict[str, float] = OrderedDict()  # name → when Hive may be asked again
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._by_address, self._in_all = LimitHere(FIRST_VISITS, 1.0), LimitHere(QUESTIONS, 1.0)
        self._background = Background()

    async def start(self) -> None:
        self._background.every(LOOK_SECONDS, self.refresh)

    async def stop(self) -> None:
        await self._background.end()

    async def ensure(self, space: SpaceKey, address: str) -> None:
        """Makes a community exist that Hive knows and nobody visited yet; does nothing for any other space.

        Many who come at once are one question. Raises `rate_limited` for an address that tries too many names, and
        `unavailable` while Hive is away: what is not known stays closed.
        """
        name = space.space_id
        if space.space_type != "community" or self._is_unknown(name):
            return
        async with self._log.database.read() as connection:
            if await repository.exists(connection, name):
                return
        if name not in self._asking:
            self._spend(address)
            task = self._asking[name] = asyncio.create_task(self._first_visit(name))
            task.add_done_callback(lambda _: self._asking.pop(name, None))
        await asyncio.shield(self._asking[name])

    def _is_unknown(self, name: str) -> bool:
        return self._unknown.get(name, 0.0) > self._clock()

    def _spend(self, address: str) -> None:
        for limit, key in ((self._by_address, limited(address)), (self._in_all, "")):
            state = limit.spend(key)
            if state.exceeded:
                raise PresenceError(RATE_LIMITED, details={"retry_after": max(state.reset, 1)})

    async def _first_visit(self, name: str) -> None:
        found = await hive_communities.ask(self._hive, name)
        if found is None:
            self._unknown[name] = self._clock() + UNKNOWN_SECONDS
            self._unknown.move_to_end(name)
            while len(self._unknown) > MOST_UNKNOWN:
                self._unknown.popitem(last=False)
            return
        await self._store(name, found)

    async def refresh(self) -> None:
        """Asks Hive again for those that are older than an hour, a part of them at a time; while it is away they stay.

        What Hive does not know any more has no team.
        """
        async with self._log.database.transaction() as connection:
            due = await repository.take_due(connection, REFRESH_AGE, PER_LOOK)
        for name in due:
            try:
                found = await hive_communities.ask(self._hive, name)
            except PresenceError as error:
                if error.kind is not UNAVAILABLE:
                    raise
                _log.warning("communities wait", error=str(error))
                return
            await self._store(name, found or HiveCommunity(name, "", {}))

    async def _store(self, name: str, found: HiveCommunity) -> None:
        """Stores what Hive tells; each role that changed is a fact, and raises the epoch of the space."""
        space = SpaceKey("community", name)
        async with self._log.transaction() as tx:
            known = await repository.exists(tx.connection, name)
            await repository.save(tx.connection, name, found.title, found.about)  # and holds the row until the commit
            before = await repository.team(tx.connection, name)
            if before != found.team:
                await repository.replace_team(tx.connection, name, found.team)
            changed = {account for account, _ in before.items() ^ found.team.items()} if known else set()
            facts = [_fact(space, account, found.team.get(account)) for account in sorted(changed)]
            rows = await tx.append_all(facts, Caller(service_identity("spaces_auth"), request_id=new_id()))
        for row in rows:
            await self._epochs.raise_soon(row)


def _fact(space: SpaceKey, account: str, role: str | None) -> Fact[RoleChanged]:
    return Fact(moderation.role_changed, space, None, lambda _: RoleChanged(account, role, "hive"))
