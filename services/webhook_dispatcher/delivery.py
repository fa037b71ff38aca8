"""Sends what is due: share out the slots, claim, ask the policy, POST, record. Claims and records are made in batches.

A claim is a lease in the row. A process that dies between sending and recording leaves it to run out,
and whoever claims the delivery next sends the same bytes under the same webhook-id: at least once.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from libs.common.contracts.registry import Registry
from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from libs.common.metrics import WEBHOOK_DELIVERIES
from services.webhook_dispatcher.posting.slots import Endpoint, Holder, Reserve, Slots, holder_of
from services.webhook_dispatcher.refusals import Refusal, refuse
from services.webhook_dispatcher.repository import Job, Made
from services.webhook_dispatcher.retry_schedule import judge
from services.webhook_dispatcher.sending import queue_repository as queue
from services.webhook_dispatcher.sending.checks import Checks, with_bodies
from services.webhook_dispatcher.sending.queue_repository import Look
from services.webhook_dispatcher.sending.recorder import Recorder
from services.webhook_dispatcher.settings import Settings
from services.webhook_dispatcher.signed_sender import SignedSender

_log = structlog.get_logger(__name__)
POLL_SECONDS = 1.0  # nothing wakes this process when a retry falls due, or when another process plans or dies
BEHIND_SECONDS = 0.25  # the same while something that is due waits: for its host's next second, say
PACE_SECONDS = 0.05  # between two claims: what falls due together is claimed together
LEASE_MARGIN = timedelta(seconds=5)  # beyond the timeout, to record in
LAST_SECONDS = 1.0  # for what was answered, when the time to drain is over
MOST_UNRECORDED = 1000  # answered and not recorded yet; with more, nothing is claimed


@dataclass(frozen=True, slots=True)
class Claimed:
    """What may be sent, and what may not. `is_all`: nothing that is due was left for want of a slot."""

    jobs: list[Job]
    is_all: bool
    refused: Sequence[tuple[Job, Refusal]] = ()


class Deliverer:
    """A component that sends due deliveries: at once after `wake`, else within `POLL_SECONDS`."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        sender: SignedSender,
        slots: Slots,
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._checks = Checks(registry, settings.operators)
        self._sender = sender
        self._clock = clock
        self._each = settings.webhook_concurrency_each
        self._lease = timedelta(seconds=settings.webhook_timeout) + LEASE_MARGIN
        self._slots = slots
        self._recorder = Recorder(database)
        self._woken = asyncio.Event()
        self._after = queue.FIRST  # where the next look at the queue begins: each endpoint has its turn
        self._full: Collection[str] = ()  # what was left out of the last look, for it held all that it may
        self._is_behind = False  # something that is due waits for a slot
        self._in_flight: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Makes the loop look for due deliveries now."""
        self._woken.set()

    @property
    def ready(self) -> bool:
        return self._loop is not None and not self._loop.done()

    async def start(self) -> None:
        self._recorder.start()
        self._loop = asyncio.create_task(self._run())

    async def drain(self) -> None:
        """Claims nothing more, and waits until the deliveries under way are recorded."""
        await self._end_loop()
        if self._in_flight:
            await asyncio.wait(self._in_flight)
        await self._recorder.end()

    async def stop(self) -> None:
        """Cancels the deliveries under way; their leases run out and another process sends them again."""
        await self._end_loop()
        for task in self._in_flight:
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._recorder.end()
        await self._recorder.stop()

    async def _end_loop(self) -> None:
        if self._loop:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            started = time.monotonic()
            await self._send_due()
            await asyncio.sleep(started + PACE_SECONDS - time.monotonic())
            with contextlib.suppress(TimeoutError):
                longest = min(POLL_SECONDS, BEHIND_SECONDS) if self._is_behind else POLL_SECONDS
                await asyncio.wait_for(self._woken.wait(), longest)

    async def _send_due(self) -> None:
        """Starts as many due deliveries as there are slots; where some must wait, each that ends wakes the loop."""
        try:
            with self._slots.reservation() as reserve:
                claimed = await self._claim(reserve)
            self._is_behind = not claimed.is_all
            for job in claimed.jobs:
                self._begin(job)
            for job, refusal in claimed.refused:
                await self._refuse(job, refusal)
        except PresenceError as error:
            _log.warning("claiming waits", error=str(error))
        except Exception:
            _log.exception("claiming failed")

    async def _claim(self, reserve: Reserve) -> Claimed:
        """Claims a batch, in slots that it reserves. Words that were deleted since they were put into bodies are taken
        back."""
        answered = self._recorder.answered
        most = MOST_UNRECORDED - len(answered)
        if min(self._slots.free, most) <= 0:
            return Claimed([], is_all=False)
        look = Look(self._clock(), answered, self._slots.full | self._recorder.unsettled, self._after)
        async with self._database.transaction() as connection:
            endpoints = await queue.waiting(connection, look, self._each)
            is_whole = self._turn_to_next(look, endpoints)
            shares = self._slots.share_out(endpoints, min(self._slots.free, most))
            if not shares:
                return Claimed([], is_whole and not endpoints)
            reserve(shares)
            jobs = await queue.claim(connection, look, look.moment + self._lease, shares)
            refusals = await self._checks.refusals(connection, jobs)
            allowed = [job for job in jobs if job.id not in refusals]
            bodies = await self._checks.taken_back(connection, allowed)
            if bodies:
                await queue.replace_bodies(connection, bodies)
        refused = [(job, refusals[job.id]) for job in jobs if job.id in refusals]
        is_all = len(shares) == len(endpoints) and not any(share.left or share.taken == self._each for share in shares)
        return Claimed(with_bodies(allowed, bodies), is_whole and is_all, refused)

    async def _refuse(self, job: Job, refusal: Refusal) -> None:
        """Has nothing more planned of what a subscriber may not receive, and buries the delivery; in a transaction of
        its own, since it locks the subscription before deliveries."""
        moment = self._clock()
        async with self._database.transaction() as connection:
            await refuse(connection, job.subscription_id, refusal)
            await queue.bury(connection, {job.id: refusal.reason}, moment)
        _log.info("webhook not sent", webhook_id=job.webhook_id, reason=refusal.reason)

    def _turn_to_next(self, look: Look, endpoints: Sequence[Endpoint]) -> bool:
        """Decides where the next look begins, and returns whether this one has seen all that wait."""
        self._full = look.full
        is_cut = len(endpoints) == queue.MOST_ENDPOINTS
        is_whole = look.after == queue.FIRST and not is_cut
        self._after = endpoints[-1].holder.subscription_id if is_cut else queue.FIRST
        if not is_whole:
            self.wake()
        return is_whole

    def _begin(self, job: Job) -> None:
        holder = holder_of(job.subscription_id, job.created_by, job.webhook_url, is_probed=job.is_probed)
        self._slots.take(holder)
        WEBHOOK_DELIVERIES.labels("in_flight").set(self._slots.in_use)
        task = asyncio.create_task(self._deliver(job))
        self._in_flight.add(task)
        task.add_done_callback(lambda _: self._ended(task, holder))

    def _ended(self, task: asyncio.Task[None], holder: Holder) -> None:
        self._in_flight.discard(task)
        self._slots.give_back(holder)
        WEBHOOK_DELIVERIES.labels("in_flight").set(self._slots.in_use)
        if self._is_behind or holder.subscription_id in self._full:
            self.wake()

    async def _deliver(self, job: Job) -> None:
        """Carries out one delivery. The recorder does the rest."""
        try:
            answer = await self._sender.post(job, job.subscription_id, job.webhook_id, job.body, self._clock())
            moment, used = self._clock(), job.attempts - job.excused + 1
            verdict = judge(answer, used, moment, waiting_since=job.waiting_since)
        except Exception:
            _log.exception("delivery broke off; its lease will run out", webhook_id=job.webhook_id)
        else:
            self._recorder.put(Made(job, answer, verdict, moment))
