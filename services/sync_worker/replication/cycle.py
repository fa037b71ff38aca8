"""Runs one cycle: every table once, by one worker at a time. Failures are recorded, never raised."""

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import structlog
from redis.asyncio import Redis

from libs.common.db.engine import Database
from libs.common.db.event_log import FactLog
from libs.common.errors import PresenceError
from libs.common.metrics import SYNC_RUNS
from services.sync_worker.locks import TABLE_LOCKS, locks
from services.sync_worker.primary.connection import Primary, PrimaryAway, Source
from services.sync_worker.primary.reading import TableReader
from services.sync_worker.replication import repository, revocations
from services.sync_worker.replication.guard import TooManyDeletes
from services.sync_worker.replication.intervals import Intervals
from services.sync_worker.replication.required_columns import require_columns
from services.sync_worker.replication.status import fresh_tables, publish_status, read_status, unknown_status
from services.sync_worker.replication.table_sync import Report, TableSync
from services.sync_worker.tables.replicated import TABLES
from services.sync_worker.tables.table import MissingTable, Table

_log = structlog.get_logger(__name__)
ALL_TABLES = frozenset(table.name for table in TABLES)


class Outcome(StrEnum):
    DONE = "done"
    FAILED = "failed"  # in part at least; the errors are in sync_state and in the log
    LEFT_TO_OTHER = "left_to_other"  # another worker is at it, or has just done it


class Trigger(StrEnum):
    NOW = "now"  # the process has started, or the last cycle failed
    CLOCK = "clock"  # an interval has passed; needless if another worker's cycle was just now
    DEMAND = "demand"  # somebody waits for a whole cycle that begins now


@dataclass(frozen=True)
class Cycle:
    """Runs cycles.

    `absent` names columns about access, `table.column`, that this primary does not have, or whole tables.
    """

    source: Source
    log: FactLog
    redis: Redis
    intervals: Intervals
    guard_percent: float
    absent: frozenset[str] = frozenset()

    @property
    def database(self) -> Database:
        """The replica."""
        return self.log.database

    async def run(self, trigger: Trigger, tables: Collection[str] = ALL_TABLES, *, prove: bool = False) -> Outcome:
        """Brings the named tables up to date with the primary and publishes the status.

        `prove` walks through all of their rows, to find what earlier cycles have missed.
        """
        try:
            outcome = await self._run(trigger, [table for table in TABLES if table.name in tables], prove)
        except PresenceError as error:
            _log.warning("cycle failed", error=str(error))
            outcome = Outcome.FAILED
        except Exception:
            _log.exception("cycle failed")
            outcome = Outcome.FAILED
        return outcome if await self._publish() else Outcome.FAILED

    async def _run(self, trigger: Trigger, tables: Sequence[Table], prove: bool) -> Outcome:
        """Whoever waits for locks holds one at a time: while it copies posts, permissions are free for the clock."""
        if trigger is not Trigger.DEMAND:
            return await self._run_alone(trigger, tables, prove)
        outcomes = [await self._run_alone(trigger, [table], prove) for table in tables]
        return Outcome.FAILED if Outcome.FAILED in outcomes else Outcome.DONE

    async def _run_alone(self, trigger: Trigger, tables: Sequence[Table], prove: bool) -> Outcome:
        wanted = {TABLE_LOCKS[table.name]: table for table in tables}
        async with locks(self.database, [*wanted], wait=trigger is Trigger.DEMAND) as ours:
            tables = [wanted[number] for number in wanted if number in ours]
            if trigger is Trigger.CLOCK:
                fresh = await fresh_tables(
                    self.database, {table.name: self.intervals.of(table.name) / 2 for table in tables}
                )
                tables = [table for table in tables if table.name not in fresh]
            if not tables:
                return Outcome.LEFT_TO_OTHER
            failed = not await self._settle()  # what a killed worker may have left
            failed |= not await self._sync(tables, prove)
            return Outcome.FAILED if failed else Outcome.DONE

    async def _sync(self, tables: Collection[Table], prove: bool) -> bool:
        """Replicates every table over one connection; returns whether all succeeded."""
        try:
            async with self.source.connect() as primary:
                return all([await self._sync_one(table, primary, prove) for table in tables])
        except PrimaryAway as error:
            _log.warning("primary is away", error=str(error))
            for table in tables:
                await self._record(table, str(error))
            return False

    async def _sync_one(self, table: Table, primary: Primary, prove: bool) -> bool:
        """Replicates one table; returns whether it succeeded. A failure is recorded and leaves the others alone."""
        started = time.monotonic()
        error: str | None = None
        try:
            async with revocations.settling(self._settle):
                report = await self._replicate(table, primary, prove)
            _log.info("table synced", table=table.name, **asdict(report), seconds=round(time.monotonic() - started, 3))
        except TooManyDeletes as stopped:
            error = str(stopped)
            _log.error("deletes stopped", table=table.name, error=error)
            await self._record(table, error, begin_again=True)
        except (PrimaryAway, MissingTable, PresenceError) as expected:
            error = str(expected)
            _log.warning("table failed", table=table.name, error=error)
            await self._record(table, error)
        except Exception as unexpected:
            error = f"{type(unexpected).__name__}: {unexpected}"
            _log.exception("table failed", table=table.name)
            await self._record(table, error)
        SYNC_RUNS.labels(table.name, "error" if error else "ok").observe(time.monotonic() - started)
        return await self._settle() and error is None

    async def _replicate(self, table: Table, primary: Primary, prove: bool) -> Report:
        reader = await TableReader.open(primary, table)
        await require_columns(self.database, table, reader.columns, self.absent)
        table_sync = TableSync(reader, self.log, self.guard_percent, self.intervals.of(table.name))
        return await table_sync.run(prove=prove)

    async def _record(self, table: Table, error: str, *, begin_again: bool = False) -> None:
        async with self.database.transaction() as connection:
            await repository.fail(connection, table.name, error, begin_again=begin_again)

    async def _settle(self) -> bool:
        """Raises the epochs of spaces where access was taken away; returns False, and they stay owed, without Redis."""
        try:
            await revocations.settle(self.database, self.redis)
        except PresenceError as error:
            _log.warning("access epochs wait", error=str(error))
            return False
        return True

    async def _publish(self) -> bool:
        try:
            status = await read_status(self.database, self.intervals)
        except PresenceError as error:
            status = unknown_status(str(error))
        try:
            await publish_status(self.redis, status)
        except PresenceError as error:
            _log.warning("status not published", error=str(error))
            return False
        return True
