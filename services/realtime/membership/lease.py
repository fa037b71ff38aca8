"""This replica's lease, and the sweep of those who lost theirs."""

import contextlib
from collections.abc import Awaitable, Callable

import structlog

from libs.common.errors import PresenceError
from libs.common.tasks.background import Background
from services.realtime.cluster.presence import Presence
from services.realtime.membership.reporter import Reporter

_log = structlog.get_logger(__name__)
SWEEP_SECONDS = 1.0


class Lease:
    """Renewed three times in its length. `register_again` puts this replica's members back when it had run out.

    At each renewal `check_access` looks for what nobody may have told this replica. The lease is given back at the
    end, unless members are left who may return elsewhere: it runs out, and they are swept.
    """

    def __init__(
        self, presence: Presence, reporter: Reporter, seconds: float, register_again: Callable[[], Awaitable[None]],
        keeps_anyone: Callable[[], bool], check_access: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._keeps_anyone, self._check_access = keeps_anyone, check_access
        self._presence, self._reporter = presence, reporter
        self._interval = min(seconds / 3, SWEEP_SECONDS)
        self._register_again = register_again
        self._background = Background()

    async def start(self) -> None:
        with contextlib.suppress(PresenceError):
            await self._presence.renew()
        self._background.every(self._interval, self._beat)

    async def stop(self) -> None:
        await self._background.end()
        if self._keeps_anyone():
            return
        with contextlib.suppress(PresenceError):
            await self._presence.release()

    async def _beat(self) -> None:
        if not await self._presence.renew():
            await self._register_again()
        for space, member in await self._presence.sweep():
            _log.info("swept a member of a dead replica", space=str(space), socket_id=member.socket_id)
            self._reporter.report("leave", space, member, "lost")
        await self._check_access()
