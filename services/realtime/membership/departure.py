"""Takes members of this replica out of the shared state; those who go at the same moment go together.

While Redis is away they wait here and leave when it is back, so that nobody stays for ever who left meanwhile.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

import structlog

from libs.common.contracts.members import Member
from libs.common.errors import PresenceError
from libs.common.spaces import SpaceKey
from libs.common.tasks.batching import Batches
from services.realtime.cluster.presence import Presence
from services.realtime.membership.reporter import Reporter
from services.realtime.space.held_spaces import HeldSpaces

_log = structlog.get_logger(__name__)
RETRY_SECONDS = 0.5
PATIENCE = 2.0  # seconds a leaver waits for it to be true everywhere


class Departure:
    """`expect` announces a later `leave`: until that is done, a sweeper must find the space among this replica's."""

    def __init__(self, presence: Presence, held_spaces: HeldSpaces, reporter: Reporter) -> None:
        self._presence = presence
        self._held_spaces = held_spaces
        self._reporter = reporter
        self._expected: Counter[SpaceKey] = Counter()
        self._leave = Batches(self._leave_together)

    def expect(self, space: SpaceKey) -> None:
        self._expected[space] += 1

    async def leave(self, space: SpaceKey, member: Member, reason: str) -> None:
        """Takes out a member that `expect` announced. The others are told `reason`.

        Returns after `PATIENCE` at the latest; what is not done by then goes on.
        """
        self._reporter.leave(space, member, reason)
        leaving = asyncio.ensure_future(self._leave.do((space, reason), member))
        await asyncio.wait({leaving}, timeout=PATIENCE)

    async def _leave_together(self, key: tuple[SpaceKey, str], members: Sequence[Member]) -> Sequence[None]:
        space, reason = key
        await self._until_taken(space, reason, members)
        self._expected[space] -= len(members)
        if self._expected[space] <= 0:
            del self._expected[space]
            await self._forget(space)
        return [None] * len(members)

    async def _until_taken(self, space: SpaceKey, reason: str, members: Sequence[Member]) -> None:
        while True:
            gone = [member.socket_id for member in members if not self._is_back(space, member)]
            try:
                if gone:
                    await self._presence.leave(space, gone, reason)
                return
            except PresenceError as error:
                _log.warning("leaving waits", space=str(space), members=len(gone), error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    def _is_back(self, space: SpaceKey, member: Member) -> bool:
        """Returns whether the same socket has entered again while leaving had to wait."""
        held = self._held_spaces.by_key.get(space)
        return held is not None and member.socket_id in held.clients

    async def _forget(self, space: SpaceKey) -> None:
        """Tells the sweeper that it need not look there any more. If this is lost, it looks in vain."""
        if space not in self._held_spaces.by_key:
            try:
                await self._presence.forget_space(space)
            except PresenceError as error:
                _log.debug("space not forgotten", space=str(space), error=str(error))
