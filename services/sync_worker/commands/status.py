"""`status`: how current the replica is."""

from argparse import Namespace

from rich.table import Table

from libs.common.contracts.content import SyncStatus
from libs.common.db.engine import Database
from services.sync_worker.app import opened
from services.sync_worker.command import DONE, FAILED, Command, output
from services.sync_worker.replication.intervals import Intervals
from services.sync_worker.replication.status import read_status
from services.sync_worker.settings import Settings


async def _run(settings: Settings, _: Namespace) -> int:
    async with opened(settings) as parts:
        return DONE if (await show(parts.database, Intervals.of_settings(settings))).current else FAILED


async def show(database: Database, intervals: Intervals) -> SyncStatus:
    """Prints the status of each table and returns it. Raises `unavailable`."""
    status = await read_status(database, intervals)
    shown = Table("table", "rows", "age", "trouble", box=None)
    for table in status.tables:
        age = "never" if table.lag_seconds is None else f"{table.lag_seconds:.0f} s"
        shown.add_row(table.table, f"{table.rows:,}", age, table.last_error or "")
    output().print(shown)
    return status


STATUS = Command("status", "Says how current each table is; fails where one is behind or in trouble.", _run)
