"""Renews this replica's lease, and sweeps the members of replicas that lost theirs.

A replica that stops in order drains its clients first and then gives its lease back, so that nobody looks for it again.
Where members are left who may return elsewhere (`Grace`) it keeps the lease: that runs out, and another replica sweeps
them. A replica that dies or hangs keeps it too, with the same end. One that comes back after its lease had run out, or
after Redis forgot it, registers its members again, as new stays.
"""

import contextlib

import structlog

from libs.common.errors import PresenceError
from libs.common.tasks.background import Background
from services.realtime.cluster.presence import Presence
from services.realtime.membership.ejection import Ejection
from services.realtime.membership.entering import Entering
from services.realtime.membership.grace import Grace
from services.realtime.membership.reporter import Reporter

_log = structlog.get_logger(__name__)
SWEEP_SECONDS = 1.0


class Lease:
    """A component. It renews the lease three times in its length, and looks each time for clients that lost access."""

    def __init__(
        self,
        presence: Presence,
        reporter: Reporter,
        entering: Entering,
        grace: Grace,
        ejection: Ejection,
        seconds: float,
    ) -> None:
        self._presence = presence
        self._reporter = reporter
        self._entering = entering
        self._grace = grace
        self._ejection = ejection
        self._interval = min(seconds / 3, SWEEP_SECONDS)
        self._members_are_registered = True
        self._background = Background()

    async def start(self) -> None:
        with contextlib.suppress(PresenceError):
            await self._presence.renew()
        self._background.every(self._interval, self._beat)

    async def stop(self) -> None:
        await self._background.end()
        if self._grace.keeps_anyone:
            return
        with contextlib.suppress(PresenceError):
            await self._presence.release()

    async def _beat(self) -> None:
        if not await self._presence.renew():
            self._members_are_registered = False
        if not self._members_are_registered:  # until it has succeeded: the next renewal finds the lease again
            await self._entering.register_again()
            self._members_are_registered = True
        for space, member in await self._presence.sweep():
            _log.info("swept a member of a dead replica", space=str(space), socket_id=member.socket_id)
            self._reporter.leave(space, member, "lost")
        await self._ejection.look()
