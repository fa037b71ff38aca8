"""Sends what is due: claim, check access, POST, record.

A claim is a lease in the row. A process that dies between sending and recording leaves it to run out,
and whoever claims the delivery next sends the same bytes under the same webhook-id: at least once.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from libs.common import access
from libs.common.contracts.registry import Registry
from libs.common.contracts.webhooks import for_moderators
from libs.common.contracts.webhooks.bodies import body_of, webhooks_of
from libs.common.db import event_log
from libs.common.db.engine import Database
from libs.common.db.redaction import words_are_gone
from libs.common.db.sealing import SealBroken, Sealer
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher import repository, signing
from services.webhook_dispatcher.refusals import Refusal, refusal_of, refuse
from services.webhook_dispatcher.repository import Capacity, Job
from services.webhook_dispatcher.retry_schedule import judge
from services.webhook_dispatcher.sender import Answer, Sender
from services.webhook_dispatcher.settings import Settings

_log = structlog.get_logger(__name__)
POLL_SECONDS = 1.0  # nothing wakes this process when a retry falls due, or when another process plans or dies
LEASE_MARGIN = timedelta(seconds=5)  # beyond the timeout, to record in


class Deliverer:
    """A component that sends due deliveries: at once after `wake`, else within `POLL_SECONDS`."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        sender: Sender,
        sealer: Sealer,
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._registry = registry
        self._for_moderators = for_moderators(registry)
        self._sender = sender
        self._sealer = sealer
        self._settings = settings
        self._clock = clock
        self._lease = timedelta(seconds=settings.webhook_timeout) + LEASE_MARGIN
        self._woken = asyncio.Event()
        self._in_flight: dict[asyncio.Task[None], str] = {}  # to the subscription's id
        self._loop: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Makes the loop look for due deliveries now."""
        self._woken.set()

    @property
    def ready(self) -> bool:
        return self._loop is not None and not self._loop.done()

    async def start(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def drain(self) -> None:
        """Claims nothing more and waits for the deliveries under way."""
        await self._end_loop()
        if self._in_flight:
            await asyncio.wait(self._in_flight)

    async def stop(self) -> None:
        """Cancels the deliveries under way; their leases run out and another process sends them again."""
        await self._end_loop()
        for task in self._in_flight:
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)

    async def _end_loop(self) -> None:
        if self._loop:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            await self._send_due()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)

    async def _send_due(self) -> None:
        """Starts as many due deliveries as the capacity allows; each that ends wakes the loop for the next."""
        try:
            jobs = await self._claim()
        except PresenceError as error:
            _log.warning("claiming waits", error=str(error))
        except Exception:
            _log.exception("claiming failed")
        else:
            for job in jobs:
                self._begin(job)

    async def _claim(self) -> list[Job]:
        free = self._settings.webhook_concurrency - len(self._in_flight)
        if free <= 0:
            return []
        capacity = Capacity(free, self._settings.webhook_concurrency_each, Counter(self._in_flight.values()))
        moment = self._clock()
        async with self._database.transaction() as connection:
            return await repository.claim(connection, moment, moment + self._lease, capacity)

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._deliver(job))
        self._in_flight[task] = job.subscription_id
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._in_flight[task]
        self.wake()

    async def _deliver(self, job: Job) -> None:
        """Carries out one delivery and records the result. While the database is away nothing is recorded: the lease
        runs out, and the delivery is sent again."""
        with structlog.contextvars.bound_contextvars(webhook_id=job.webhook_id, subscription_id=job.subscription_id):
            try:
                refusal = await self._refusal(job)
                if refusal:
                    await self._refuse(job, refusal)
                else:
                    job = await self._without_words_taken_back(job)
                    await self._record(job, await self._send(job))
            except PresenceError as error:
                _log.warning("delivery waits for its lease to run out", error=str(error))
            except Exception:
                _log.exception("delivery broke off; its lease will run out")

    async def _refusal(self, job: Job) -> Refusal | None:
        """Returns why the subscriber may not receive this event of the space now, or None. Every attempt asks."""
        subscriber = Identity("account", job.created_by, job.created_by)
        async with self._database.read() as connection:
            space = SpaceKey(job.space_type, job.space_id)
            standing = await access.look(connection, subscriber, space, self._settings.operators)
        return refusal_of(job.created_by, standing, job.event, self._for_moderators)

    async def _without_words_taken_back(self, job: Job) -> Job:
        """Returns the job with the body that the log gives now: without the words of a message or comment that was
        deleted since. Replaces the stored body too. Every attempt asks.
        """
        async with self._database.read() as connection:
            event = await event_log.read_subject(connection, job.event_id)
        binding = webhooks_of(self._registry, event.name).get(job.event) if event else None
        if event is None or binding is None or not words_are_gone(event.payload):
            return job
        body = body_of(event, job.webhook_id, binding)
        if body != job.body:
            async with self._database.transaction() as connection:
                await repository.replace_body(connection, job.id, body)
        return replace(job, body=body)

    async def _send(self, job: Job) -> Answer:
        try:
            moment = self._clock()
            headers = signing.headers(self._keys(job, moment), job.webhook_id, job.body, moment)
        except SealBroken as error:
            _log.error("webhook secret cannot be opened", error=str(error))
            return Answer(None, "The secret could not be read; an operator has to look into it.")
        return await self._sender.post(job.webhook_url, job.body, headers)

    def _keys(self, job: Job, moment: datetime) -> list[bytes]:
        """Returns the current key, then the previous one while the secret rotates. Raises `SealBroken`."""
        sealed = [job.secret_sealed]
        if job.previous_secret_sealed and job.previous_secret_until and job.previous_secret_until > moment:
            sealed.append(job.previous_secret_sealed)
        return [self._sealer.open(secret, job.subscription_id) for secret in sealed]

    async def _record(self, job: Job, answer: Answer) -> None:
        moment = self._clock()
        verdict = judge(answer, job.attempts + 1, moment)
        async with self._database.transaction() as connection:
            await repository.record(connection, job, answer, verdict, moment)
        _log.info("webhook sent", verdict=verdict.status, status_code=answer.status_code, error=answer.error)

    async def _refuse(self, job: Job, refusal: Refusal) -> None:
        """Has nothing more planned of what the subscriber may not receive, and buries what was."""
        async with self._database.transaction() as connection:
            await refuse(connection, job.subscription_id, refusal, self._clock())
            await repository.bury(connection, job.id, refusal.reason, self._clock())
        _log.info("webhook not sent", reason=refusal.reason)
