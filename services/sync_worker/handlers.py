"""Answers the operations of sync_worker."""

import asyncio
from dataclasses import replace

from libs.common.bus.base import Caller
from libs.common.contracts.auth import Empty
from libs.common.contracts.content import SyncRequest, SyncStatus
from libs.common.db.engine import Database
from libs.common.errors import INVALID_INPUT, PresenceError
from services.sync_worker.replication import guard
from services.sync_worker.replication.cycle import ALL_TABLES, Outcome
from services.sync_worker.replication.intervals import Intervals
from services.sync_worker.replication.schedule import Schedules
from services.sync_worker.replication.status import read_status

PATIENCE_SECONDS = 4.0  # for a cycle that somebody waits for


class SyncHandlers:
    """One method an operation."""

    def __init__(self, schedules: Schedules, database: Database, intervals: Intervals) -> None:
        self._schedules = schedules
        self._database = database
        self._intervals = intervals
        self._cycles: set[asyncio.Task[Outcome]] = set()  # asked for, and not ended yet

    async def sync_status(self, _: Caller, __: Empty) -> SyncStatus:
        """Returns how current the replica is. Raises `unavailable`."""
        return await read_status(self._database, self._intervals)

    async def sync_now(self, _: Caller, request: SyncRequest) -> SyncStatus:
        """Runs a cycle now and returns the status after it, with the error of each table that failed.

        A cycle that takes longer than `PATIENCE_SECONDS` goes on, and the status is that of the moment. Raises
        `conflict` where nothing of the table waits for the confirmation that is given with it.
        """
        if request.confirm is not None:
            await guard.confirm(self._database, _confirmed_table(request), request.confirm)
        cycle = asyncio.create_task(self._schedules.run_now(_tables(request)))
        self._cycles.add(cycle)
        cycle.add_done_callback(self._cycles.discard)
        await asyncio.wait([cycle], timeout=PATIENCE_SECONDS)
        status = await read_status(self._database, self._intervals)
        return replace(status, under_way=not cycle.done())

    async def primary_changed(self, _: Caller, __: Empty) -> Empty:
        """Has cycles start soon, and waits for none."""
        self._schedules.start_soon()
        return Empty()


def _confirmed_table(request: SyncRequest) -> str:
    if request.table is None:
        raise PresenceError(INVALID_INPUT, "A confirmation is for one table.", {"fields": {"table": ["Missing."]}})
    return request.table


def _tables(request: SyncRequest) -> frozenset[str]:
    return ALL_TABLES if request.table is None else frozenset({request.table})
