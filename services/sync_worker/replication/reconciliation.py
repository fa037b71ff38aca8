"""Deletes rows of the replica that the primary no longer has, or no longer has in a form that counts.

After a pass the replica holds every row the pass saw. If it holds no more than that, there is nothing
to delete; only otherwise are its rows looked up at the primary, one page of keys after the other. So
an unchanged row costs no write, and a row that came back in the meantime is not deleted.
"""

from collections.abc import Sequence

from libs.common.db.engine import Database
from services.sync_worker.primary.reading import Primary
from services.sync_worker.replication import guard, repository, revocations
from services.sync_worker.replication.table_pass import Pass, understand
from services.sync_worker.tables.table import Key


async def reconcile(done: Pass, primary: Primary, database: Database, guard_percent: float) -> int:
    """Deletes rows that the primary no longer has and marks the pass complete; returns how many rows it deleted.

    Raises `TooManyDeletes`, and then the rows are closed and none is deleted.
    """
    table, progress = done.table, done.progress
    async with database.read() as connection:
        rows = await repository.count(connection, table)
    missing = await _missing_keys(done, primary, database) if rows != progress.seen else []
    await guard.check(database, table, missing, rows, guard_percent)
    async with database.transaction() as connection:
        for start in range(0, len(missing), table.page):
            batch = missing[start : start + table.page]
            await revocations.remember(connection, [table.space_of(key) for key in batch])
            await repository.remove(connection, table, batch)
        await repository.complete(connection, table.name, rows - len(missing), progress.started_at)
    return len(missing)


async def _missing_keys(done: Pass, primary: Primary, database: Database) -> list[Key]:
    """Returns the replica's keys that the primary lacks, looked up page by page."""
    missing: list[Key] = []
    after: Key | None = None
    while True:
        async with database.read() as connection:
            keys = await repository.keys_after(connection, done.table, after, done.table.page)
        if not keys:
            return missing
        present = await _present(done, primary, keys)
        missing += [key for key in keys if key not in present]
        after = keys[-1]


async def _present(done: Pass, primary: Primary, keys: Sequence[Key]) -> set[Key]:
    """Returns the keys, of those given, for which the primary has a row that counts."""
    present: set[Key] = set()
    for shape in done.shapes:
        wanted = [located for key in keys if (located := shape.locate(key))]
        if wanted:
            groups = await primary.find(done.table.name, shape, done.columns, wanted)
            present |= understand(done.table, shape, groups).records.keys()
    return present
