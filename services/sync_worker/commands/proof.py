"""`proof`: compares every row with the primary, whatever earlier cycles have seen."""

from argparse import Namespace

from libs.common.contracts import content
from services.sync_worker.app import opened
from services.sync_worker.command import Command, output
from services.sync_worker.commands.run import run_cycle
from services.sync_worker.replication import repository
from services.sync_worker.replication.intervals import Intervals
from services.sync_worker.settings import Settings
from services.sync_worker.tables.replicated import TABLES


async def _run(settings: Settings, _: Namespace) -> int:
    async with opened(settings) as parts:
        async with parts.database.read() as connection:
            began = await repository.clock(connection)
        ended = await run_cycle(parts, content.TABLES, Intervals.of_settings(settings), prove=True)
        async with parts.database.read() as connection:
            for table in TABLES:
                count = await repository.count_written(connection, table, began)
                output().print(f"{table.name}: {count} rows differed.")
    return ended


PROOF = Command("proof", "Compares every row with the primary, and says how many differed; mends them.", _run)
