"""Asks new URLs whether they want webhooks, until they say yes or are given up."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from libs.common.tasks.background import Background
from services.webhook_dispatcher.health.notices_repository import DISABLED, Notice, tell
from services.webhook_dispatcher.pings import pings_repository as repository
from services.webhook_dispatcher.pings.ping import Asked, Pinged, next_ping, ping
from services.webhook_dispatcher.posting.slots import Holder, Slots, holder_of
from services.webhook_dispatcher.settings import Settings
from services.webhook_dispatcher.signed_sender import SignedSender

_log = structlog.get_logger(__name__)
POLL_SECONDS = 1.0
PINGS, OF_ACCOUNT = 16, 4  # that one process has under way
AT_ONCE = 100  # subscriptions of a look
PUT_OFF = timedelta(seconds=1)  # for want of a slot
LEASE_MARGIN = timedelta(seconds=5)  # beyond the timeout, to record in


class Pinger:
    """A component: looks at once after `wake`, else every `POLL_SECONDS`. Where pings are off, all may be sent to."""

    def __init__(
        self,
        database: Database,
        sender: SignedSender,
        slots: Slots,
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._sender = sender
        self._slots = slots
        self._is_on = settings.webhook_ping
        self._lease = timedelta(seconds=settings.webhook_timeout) + LEASE_MARGIN
        self._clock = clock
        self._woken = asyncio.Event()
        self._background = Background()
        self._under_way: dict[asyncio.Task[None], Holder] = {}

    def wake(self) -> None:
        self._woken.set()

    async def start(self) -> None:
        self._background.begin(self._run() if self._is_on else self._release())

    async def stop(self) -> None:
        """Cancels what is under way; it is sent again when its lease has run out."""
        await self._background.end()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _release(self) -> None:
        """Lets those be sent to that were made while pings were on."""
        while True:
            with contextlib.suppress(PresenceError):
                async with self._database.transaction() as connection:
                    await repository.release(connection)
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self._ping_due()
            except PresenceError as error:
                _log.warning("pings wait", error=str(error))
            except Exception:
                _log.exception("claiming pings failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)

    async def _ping_due(self) -> None:
        lease = self._clock() + self._lease
        held: list[Holder] = []
        try:
            async with self._database.transaction() as connection:
                found = await repository.due(connection, self._clock(), AT_ONCE)
                taken = self._take(found, held)
                await repository.put_off(connection, [one.id for one in taken], lease)
                rest = [one.id for one in found if one not in taken]
                await repository.put_off(connection, rest, self._clock() + PUT_OFF)
        except BaseException:
            for holder in held:
                self._slots.give_back(holder)
            raise
        for one, holder in zip(taken, held, strict=True):
            task = asyncio.create_task(self._ask(one, lease))
            self._under_way[task] = holder
            task.add_done_callback(self._ended)

    def _take(self, found: Sequence[Asked], held: list[Holder]) -> list[Asked]:
        """Returns those that may be asked now, whose slots are `held` then."""
        of_accounts = Counter(holder.account for holder in self._under_way.values())
        taken: list[Asked] = []
        for one in found:
            is_free = len(self._under_way) + len(taken) < PINGS and of_accounts[one.created_by] < OF_ACCOUNT
            holder = holder_of(one.id, one.created_by, one.webhook_url)
            if is_free and self._slots.try_take(holder):
                of_accounts[one.created_by] += 1
                held.append(holder)
                taken.append(one)
        return taken

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._slots.give_back(self._under_way.pop(task))
        self.wake()

    async def _ask(self, one: Asked, lease: datetime) -> None:
        try:
            pinged = await ping(self._sender, one, self._clock())
            await self._record(one, pinged, lease)
        except PresenceError as error:
            _log.warning("what a ping was answered is not kept; its lease will run out", error=str(error))
        except Exception:
            _log.exception("a ping broke off; its lease will run out", subscription_id=one.id)

    async def _record(self, one: Asked, pinged: Pinged, lease: datetime) -> None:
        moment = self._clock()
        _log.info("webhook pinged", subscription_id=one.id, webhook_id=pinged.webhook_id, error=pinged.error)
        async with self._database.transaction() as connection:
            if pinged.error is None:
                await repository.verify(connection, one)
                return
            again = next_ping(pinged.answer, one.pings + 1, moment)
            if again:
                await repository.failed(connection, one, lease, pinged.error, again)
                return
            reason = f"It did not answer the ping that asks whether it wants webhooks: {pinged.error}"
            told = await repository.give_up(connection, one, lease, pinged.error, reason)
            if told:
                await tell(connection, [Notice(DISABLED, told, f"was disabled: {reason}")])
