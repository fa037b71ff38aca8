"""Sending what is due: claim, check access, POST, record.

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
from libs.common.access import Action
from libs.common.contracts.registry import Registry
from libs.common.db import event_log
from libs.common.db.engine import Database
from libs.common.db.redaction import words_are_gone
from libs.common.db.sealing import SealBroken, Sealer
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher import repository, schedule, signing
from services.webhook_dispatcher.planner import body_of, webhooks_of
from services.webhook_dispatcher.repository import Job, Room
from services.webhook_dispatcher.sender import Answer, Sender
from services.webhook_dispatcher.settings import Settings

_log = structlog.get_logger(__name__)
POLL_SECONDS = 1.0  # retries fall due, and other processes plan or die, without a word
LEASE_MARGIN = timedelta(seconds=5)  # beyond the timeout, to record in


class Deliverer:
    """A component. `wake` says that something is due; without it that is found within `POLL_SECONDS`."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        sender: Sender,
        sealer: Sealer,
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._registry, self._sender, self._sealer = database, registry, sender, sealer
        self._settings, self._clock = settings, clock
        self._lease = timedelta(seconds=settings.webhook_timeout) + LEASE_MARGIN
        self._woken = asyncio.Event()
        self._in_flight: dict[asyncio.Task[None], str] = {}  # to the subscription's id
        self._loop: asyncio.Task[None] | None = None

    def wake(self) -> None:
        self._woken.set()

    @property
    def ready(self) -> bool:
        return self._loop is not None and not self._loop.done()

    async def start(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def drain(self) -> None:
        """Claim nothing more, and see what is under way through."""
        await self._end_loop()
        if self._in_flight:
            await asyncio.wait(self._in_flight)

    async def stop(self) -> None:
        """What is still under way is left to its lease."""
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
        """Start whatever is due and there is room for; each that ends wakes us for the next."""
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
        room = Room(free, self._settings.webhook_concurrency_each, Counter(self._in_flight.values()))
        moment = self._clock()
        async with self._database.transaction() as connection:
            return await repository.claim(connection, moment, moment + self._lease, room)

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._deliver(job))
        self._in_flight[task] = job.subscription_id
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._in_flight[task]
        self.wake()

    async def _deliver(self, job: Job) -> None:
        """Ends without a trace only when the database is away: then the lease brings the delivery back."""
        with structlog.contextvars.bound_contextvars(webhook_id=job.webhook_id, subscription_id=job.subscription_id):
            try:
                refusal = await self._refusal(job)
                if refusal:
                    await self._bury(job, refusal)
                else:
                    job = await self._without_words_taken_back(job)
                    await self._record(job, await self._send(job))
            except PresenceError as error:
                _log.warning("delivery waits for its lease to run out", error=str(error))
            except Exception:
                _log.exception("delivery broke off; its lease will run out")

    async def _refusal(self, job: Job) -> str | None:
        """Why the subscriber may not have this now; None if they may. Asked for each attempt."""
        subscriber = Identity("account", job.created_by, job.created_by)
        async with self._database.read() as connection:
            space = SpaceKey(job.space_type, job.space_id)
            standing = await access.look(connection, subscriber, space, self._settings.operators)
        try:
            standing.require(Action.SUBSCRIBE)
        except PresenceError as error:
            return f"{job.created_by} may not receive this space's events any more ({error.kind.code})."
        return None

    async def _without_words_taken_back(self, job: Job) -> Job:
        """A message or a comment may have been deleted since: then its webhook is what the log still says.

        Asked for each attempt. The delivery keeps the words no longer either.
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
        """The present key, and the one before it while the secret rotates."""
        sealed = [job.secret_sealed]
        if job.previous_secret_sealed and job.previous_secret_until and job.previous_secret_until > moment:
            sealed.append(job.previous_secret_sealed)
        return [self._sealer.open(secret, job.subscription_id) for secret in sealed]

    async def _record(self, job: Job, answer: Answer) -> None:
        moment = self._clock()
        verdict = schedule.judge(answer, job.attempts + 1, moment)
        async with self._database.transaction() as connection:
            await repository.record(connection, job, answer, verdict, moment)
        _log.info("webhook sent", verdict=verdict.status, status_code=answer.status_code, error=answer.error)

    async def _bury(self, job: Job, reason: str) -> None:
        async with self._database.transaction() as connection:
            await repository.bury(connection, job.id, reason, self._clock())
        _log.info("webhook not sent", reason=reason)
