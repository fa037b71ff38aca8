"""Sends again what somebody asked for: claim, check access, POST, record, in some of the slots of deliveries.

It is outside the schedule: it goes to an endpoint that is paused or disabled too, and what comes of it says nothing of
the endpoint's health. What fails is tried four times.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from libs.common.contracts.registry import Registry
from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey
from services.webhook_dispatcher import retry_schedule
from services.webhook_dispatcher.log.words import body_now
from services.webhook_dispatcher.posting.slots import Holder, Slots, holder_of
from services.webhook_dispatcher.redelivery import redelivery_repository as repository
from services.webhook_dispatcher.redelivery.redelivery_repository import Again, Waiting
from services.webhook_dispatcher.sender import Answer
from services.webhook_dispatcher.sending import queue_repository
from services.webhook_dispatcher.signed_sender import SignedSender
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
    sender: SignedSender
    slots: Slots
    rights: Rights
    clock: Callable[[], datetime]


@dataclass
class Redeliverer:
    """A component: looks at once after `wake`, else every `POLL_SECONDS`."""

    means: Means
    timeout: float
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _in_flight: dict[asyncio.Task[None], Holder] = field(default_factory=dict)
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
                for again, holder in await self._claim():
                    self._begin(again, holder)
            except PresenceError as error:
                _log.warning("redelivery waits", error=str(error))
            except Exception:
                _log.exception("claiming for redelivery failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)

    async def _claim(self) -> list[tuple[Again, Holder]]:
        """Returns what is sent again now, each with the slot that is held for it."""
        if len(self._in_flight) >= SLOTS:
            return []
        moment = self.means.clock()
        lease = moment + timedelta(seconds=self.timeout) + LEASE_MARGIN
        held: list[Holder] = []
        claimed: list[tuple[Again, Holder]] = []
        try:
            async with self.means.database.transaction() as connection:
                held = self._take(await repository.waiting(connection, moment))
                shares = Counter(holder.subscription_id for holder in held)
                found = await repository.claim(connection, moment, lease, shares) if shares else []
            claimed = _matched(found, held)
        finally:
            for holder in held:  # what was left: another process was quicker
                self.means.slots.give_back(holder)
        return claimed

    def _take(self, waiting: Sequence[Waiting]) -> list[Holder]:
        """Takes slots for what may be sent again now: no account and no subscription holds all of those that are for
        this, and beside deliveries each is held to the bounds of its account and host."""
        accounts = Counter(holder.account for holder in self._in_flight.values())
        subscriptions = Counter(holder.subscription_id for holder in self._in_flight.values())
        free, taken = SLOTS - len(self._in_flight), []
        for one in waiting:
            holder = one.holder
            most = min(OF_SUBSCRIPTION - subscriptions[holder.subscription_id], one.number)
            while most > 0 and free > 0 and accounts[holder.account] < OF_ACCOUNT and self.means.slots.try_take(holder):
                taken.append(holder)
                accounts[holder.account] += 1
                most, free = most - 1, free - 1
        return taken

    def _begin(self, again: Again, holder: Holder) -> None:
        task = asyncio.create_task(_redeliver(self.means, again))
        self._in_flight[task] = holder
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.means.slots.give_back(self._in_flight.pop(task))
        self.wake()


def _matched(found: Sequence[Again], held: list[Holder]) -> list[tuple[Again, Holder]]:
    """Returns each delivery with the slot that was taken for it, which is not among those `held` any more.

    One whose URL was changed since has none: its lease runs out.
    """
    matched = []
    for again in found:
        holder = holder_of(again.subscription_id, again.created_by, again.webhook_url)
        if holder in held:
            held.remove(holder)
            matched.append((again, holder))
    return matched


async def _redeliver(means: Means, again: Again) -> None:
    with structlog.contextvars.bound_contextvars(webhook_id=again.webhook_id, subscription_id=again.subscription_id):
        try:
            body = await _body_now(means, again)
            if body is not None:
                moment = means.clock()
                answer = await means.sender.post(again, again.subscription_id, again.webhook_id, body, moment)
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


async def _record(means: Means, again: Again, answer: Answer) -> None:
    moment = means.clock()
    verdict = retry_schedule.judge(answer, again.tries + 1, moment)
    next_at = verdict.next_attempt_at if again.tries + 1 < TRIES else None
    wait = verdict.pause_until - moment if verdict.pause_until else QUIET
    async with means.database.transaction() as connection:
        await repository.record(connection, again, answer, moment, next_at, wait)
    _log.info("webhook sent again", status_code=answer.status_code, error=answer.error)
