"""Records what was sent, batch by batch.

What was answered is never sent again by this process: until it is recorded it is not claimed, however long the database
is away or busy. It is given up, and its lease left to run out, only where recording fails for another reason.
"""

import asyncio
from collections.abc import Sequence

import structlog

from libs.common.db.engine import Database
from libs.common.errors import PresenceError
from services.webhook_dispatcher import repository
from services.webhook_dispatcher.health import health
from services.webhook_dispatcher.health.health import Outcome
from services.webhook_dispatcher.repository import EndpointState, Job, Made

_log = structlog.get_logger(__name__)
BATCH = 200
PACE_SECONDS = 0.1  # between two batches: what comes together is recorded together
AGAIN_SECONDS = 0.5  # after the database was away or busy


class Recorder:
    """`put` what was answered; `end` waits until all of it is recorded."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[Made] = []
        self._put = asyncio.Event()
        self._ending = False
        self._task: asyncio.Task[None] | None = None

    @property
    def answered(self) -> list[str]:
        """The deliveries that are answered and not recorded yet."""
        return [made.job.id for made in self._waiting]

    @property
    def unsettled(self) -> set[str]:
        """The subscriptions that are to be sent nothing, or less, for an answer that is not recorded yet."""
        return {made.job.subscription_id for made in self._waiting if _holds_back(made)}

    def put(self, made: Made) -> None:
        self._waiting.append(made)
        self._put.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        """Returns when all that was put is recorded."""
        self._ending = True
        self._put.set()
        if self._task:
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Leaves what is not recorded to its leases."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting or not self._ending:
            if not self._waiting:
                self._put.clear()
                await self._put.wait()
                continue
            pause = await self._record(_batch(self._waiting))
            if not self._ending or pause > PACE_SECONDS:
                await asyncio.sleep(pause)

    async def _record(self, batch: Sequence[Made]) -> float:
        """Records a batch, and returns the seconds until the next."""
        try:
            await self._write(batch)
        except PresenceError as error:
            _log.warning("recording waits", deliveries=len(batch), error=str(error))
            return AGAIN_SECONDS
        except Exception:
            if len(batch) > 1:  # one that cannot be recorded takes no other with it
                return max([await self._record([made]) for made in batch])
            _log.exception("an attempt is not recorded; its lease will run out", webhook_id=batch[0].job.webhook_id)
            self._forget(batch)
        return PACE_SECONDS

    async def _write(self, batch: Sequence[Made]) -> None:
        """Attempts first, and alone: they are recorded whatever becomes of what follows from them."""
        async with self._database.transaction() as connection:
            await repository.record(connection, batch)
        for made in batch:
            _log.info("webhook sent", **_described(made))
        try:
            await self._follow_up(batch)
        except Exception:
            _log.exception("the state of endpoints is not kept; their next answers will say it again")
        self._forget(batch)

    async def _follow_up(self, batch: Sequence[Made]) -> None:
        async with self._database.transaction() as connection:
            await health.note(connection, _outcomes(batch), max(made.moment for made in batch))
        for subscription_id, state in _states(batch).items():
            async with self._database.transaction() as connection:
                await repository.note_endpoint(connection, subscription_id, state)
        for made in batch:
            if made.verdict.disable:
                async with self._database.transaction() as connection:
                    await repository.disable(connection, made.job.subscription_id, made.verdict.disable)

    def _forget(self, batch: Sequence[Made]) -> None:
        done = {id(made) for made in batch}
        self._waiting = [made for made in self._waiting if id(made) not in done]


def _batch(waiting: Sequence[Made]) -> list[Made]:
    """Returns the first to record, each of another delivery."""
    return [*{made.job.id: made for made in reversed(waiting[:BATCH])}.values()][::-1]


def _states(batch: Sequence[Made]) -> dict[str, EndpointState]:
    """Returns the state of each endpoint whose state the answers change; of several, the last one holds."""
    states: dict[str, tuple[Job, EndpointState]] = {}
    for made in batch:
        job, is_silent, pause = made.job, made.answer.is_silent, made.verdict.pause_until
        since = (job.waiting_since or made.moment) if pause else None
        states[job.subscription_id] = (job, EndpointState(is_silent or pause is not None, pause, since))
    return {
        id: state
        for id, (job, state) in states.items()
        if state.paused_until or (job.is_probed, job.waiting_since) != (state.is_probed, state.waiting_since)
    }


def _outcomes(batch: Sequence[Made]) -> list[Outcome]:
    """Returns what the answers say of their endpoints' health; those that end a subscription need not."""
    return [
        Outcome(made.job.subscription_id, _on_schedule(made), made.answer.error)
        for made in batch
        if made.verdict.disable is None
    ]


def _on_schedule(made: Made) -> int:
    """Returns the number of an attempt without those that the endpoint was excused."""
    return made.job.attempts + 1 - made.job.excused - int(made.verdict.excused)


def _holds_back(made: Made) -> bool:
    return made.answer.is_silent or made.verdict.pause_until is not None or made.verdict.disable is not None


def _described(made: Made) -> dict[str, object]:
    return {
        "webhook_id": made.job.webhook_id,
        "subscription_id": made.job.subscription_id,
        "verdict": made.verdict.status,
        "status_code": made.answer.status_code,
        "error": made.answer.error,
    }
