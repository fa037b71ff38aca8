"""Sends again what somebody asked for: claim, check access, POST, record, in slots of its own.

It is outside the schedule: it goes to an endpoint that is paused or disabled too, and what comes of it says nothing of
the endpoint's health. What fails is tried four times.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from libs.common.contracts.registry import Registry
from libs.common.db.engine import Database
from libs.common.db.sealing import SealBroken, Sealer
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher import retry_schedule, signing
from services.webhook_dispatcher.log.words import body_now
from services.webhook_dispatcher.redelivery import redelivery_repository as repository
from services.webhook_dispatcher.redelivery.redelivery_repository import Again
from services.webhook_dispatcher.sender import Answer, Sender
from services.webhook_dispatcher.sending import queue_repository
from services.webhook_dispatcher.subscriptions.ownership import Rights

_log = structlog.get_logger(__name__)
POLL_SECONDS = 1.0
SLOTS, OF_ACCOUNT, OF_SUBSCRIPTION = 16, 4, 2  # that one process has under way
TRIES = 4
QUIET = timedelta(seconds=5)  # for which nothing else is sent again to an endpoint that failed
LEASE_MARGIN = timedelta(seconds=5)  # beyond the timeout, to record in


@dataclass
class Means:
    """What a redelivery is carried out with."""

    database: Database
    registry: Registry
    sender: Sender
    sealer: Sealer
    rights: Rights
    clock: Callable[[], datetime]


@dataclass
class Redeliverer:
    """A component: looks at once after `wake`, else every `POLL_SECONDS`."""

    means: Means
    timeout: float
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _in_flight: dict[asyncio.Task[None], Again] = field(default_factory=dict)
    _loop: asyncio.Task[None] | None = None

    def wake(self) -> None:
        self._woken.set()

    @property
    def ready(self) -> bool:
        return self._loop is not None and not self._loop.done()

    async def start(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def drain(self) -> None:
        """Claims nothing more and waits for what is under way."""
        await self._end_loop()
        if self._in_flight:
            await asyncio.wait(self._in_flight)

    async def stop(self) -> None:
        """Cancels what is under way; it is sent again when its lease has run out."""
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
            try:
                for again in await self._claim():
                    self._begin(again)
            except PresenceError as error:
                _log.warning("redelivery waits", error=str(error))
            except Exception:
                _log.exception("claiming for redelivery failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)

    async def _claim(self) -> list[Again]:
        if len(self._in_flight) >= SLOTS:
            return []
        moment = self.means.clock()
        lease = moment + timedelta(seconds=self.timeout) + LEASE_MARGIN
        async with self.means.database.transaction() as connection:
            shares = _shares(await repository.waiting(connection, moment), [*self._in_flight.values()])
            return await repository.claim(connection, moment, lease, shares) if shares else []

    def _begin(self, again: Again) -> None:
        task = asyncio.create_task(_redeliver(self.means, again))
        self._in_flight[task] = again
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._in_flight[task]
        self.wake()


def _shares(waiting: Sequence[tuple[str, str]], under_way: Sequence[Again]) -> dict[str, int]:
    """Returns how many of each subscription may be sent now: no account and no subscription holds all the slots."""
    accounts, subscriptions = (
        Counter(one.created_by for one in under_way),
        Counter(one.subscription_id for one in under_way),
    )
    free, shares = SLOTS - len(under_way), {}
    for id, account in waiting:
        share = min(OF_SUBSCRIPTION - subscriptions[id], OF_ACCOUNT - accounts[account], free)
        if share > 0:
            shares[id] = share
            accounts[account] += share
            free -= share
    return shares


async def _redeliver(means: Means, again: Again) -> None:
    with structlog.contextvars.bound_contextvars(webhook_id=again.webhook_id, subscription_id=again.subscription_id):
        try:
            body = await _body_now(means, again)
            if body is not None:
                answer = await _send(means, replace(again, body=body))
                await _record(means, again, answer)
        except PresenceError as error:
            _log.warning("redelivery waits for its lease to run out", error=str(error))
        except Exception:
            _log.exception("redelivery broke off; its lease will run out")


async def _body_now(means: Means, again: Again) -> bytes | None:
    """Returns what may be sent now: without words that were taken back, and nothing to whom may not hear of it."""
    space = SpaceKey(again.space_type, again.space_id)
    owner = Identity("account", again.created_by, again.created_by)
    async with means.database.transaction() as connection:
        try:
            await means.rights.require(connection, owner, space, [again.event])
        except PresenceError as error:
            await repository.give_up(connection, again, f"{again.created_by} may not receive it ({error.kind.code}).")
            return None
        body = await body_now(connection, means.registry, again.event_id, again.webhook_id, again.event)
        if body is None:
            return again.body
        await queue_repository.replace_bodies(connection, {again.id: body})
        return body


async def _send(means: Means, again: Again) -> Answer:
    moment = means.clock()
    try:
        keys = signing.open_keys(
            means.sealer,
            again.subscription_id,
            again.secret_sealed,
            again.previous_secret_sealed,
            again.previous_secret_until,
            moment,
        )
    except SealBroken as error:
        _log.error("webhook secret cannot be opened", error=str(error))
        return Answer(None, signing.UNREADABLE)
    headers = signing.headers(keys, again.webhook_id, again.body, moment)
    return await means.sender.post(again.webhook_url, again.body, headers)


async def _record(means: Means, again: Again, answer: Answer) -> None:
    moment = means.clock()
    verdict = retry_schedule.judge(answer, again.tries + 1, moment)
    next_at = verdict.next_attempt_at if again.tries + 1 < TRIES else None
    wait = verdict.pause_until - moment if verdict.pause_until else QUIET
    async with means.database.transaction() as connection:
        await repository.record(connection, again, answer, moment, next_at, wait)
    _log.info("webhook sent again", status_code=answer.status_code, error=answer.error)
