"""Keeps the member of a connection that broke for a few seconds: it is not yet somebody who left.

If the same person joins again meanwhile, on whatever replica, the new socket takes its place: the others see
`user-left {reason: "replaced"}` and `user-joined` in one write, and nobody flashes. Only a person who can be proven
counts: an account, or a guest with a token.
"""

import asyncio

import structlog

from libs.common.contracts.members import Member
from libs.common.errors import PresenceError
from libs.common.spaces import SpaceKey
from services.realtime.cluster.presence import Presence
from services.realtime.membership.departure import Departure

_log = structlog.get_logger(__name__)
RETRY_SECONDS = 0.5


class Grace:
    """A component. Members that it still keeps when the replica ends are left to the others' sweep."""

    def __init__(self, seconds: float, presence: Presence, departure: Departure) -> None:
        self._seconds = seconds
        self._presence = presence
        self._departure = departure
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def keeps_anyone(self) -> bool:
        """Returns whether members of this replica are left without a connection."""
        return bool(self._waiting)

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    async def begin(self, space: SpaceKey, member: Member) -> None:
        """Keeps the member for a while, as it is; then it leaves. Returns once every replica can know of it.

        While Redis is away nobody can come back, so the while begins when it has returned.
        """
        self._departure.expect(space)
        is_known = await self._mark(space, member)
        task = asyncio.create_task(self._keep(space, member, is_known=is_known))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _mark(self, space: SpaceKey, member: Member) -> bool:
        try:
            await self._presence.mark_dropped(space, member)
        except PresenceError as error:
            _log.warning("nobody can take this connection's place", socket_id=member.socket_id, error=str(error))
            return False
        return True

    async def _keep(self, space: SpaceKey, member: Member, *, is_known: bool) -> None:
        while not is_known:
            await asyncio.sleep(RETRY_SECONDS)
            is_known = await self._mark(space, member)
        await asyncio.sleep(self._seconds)
        await self._departure.leave(space, member, "disconnected")
