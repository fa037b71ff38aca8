"""Finds rows that are gone from the primary without reading those that are not.

Both sides divide the hashes of their keys into blocks, and each adds up what a block has. What differs between them
is a residual: nothing where both have the same rows, and the same as before where some rows of the primary are skipped
here or share a key. Only of blocks whose residual has changed are the keys compared, and their rows read once more.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import batched

from libs.common.db.event_log import FactLog
from services.sync_worker.primary.reading import Sums, TableReader
from services.sync_worker.replication import repository
from services.sync_worker.replication.pages import PageWriter, understand
from services.sync_worker.replication.position import Residuals, as_residuals
from services.sync_worker.tables.table import Key

MOST_EXAMINED = 100_000  # keys; where more may have changed, the whole table is walked
MOST_SUMMED = 10_000  # keys that a statement sums up
FEWEST, MOST = 64, 16_384  # blocks of a table
ROWS = 64  # of a block, until there are so many blocks as may be


def so_many(rows: int) -> int:
    """Returns into how many blocks a table of so many rows is divided, a power of two."""
    return min(max(1 << max(rows // ROWS, 1).bit_length() - 1, FEWEST), MOST)


def signed(unsigned: int) -> int:
    """Returns a hash as PostgreSQL has it, of 64 bits with a sign."""
    return unsigned - 2**64 if unsigned >= 2**63 else unsigned


@dataclass(frozen=True)
class Comparison:
    """The sums of both sides, and the blocks whose keys have to be looked at."""

    there: Mapping[int, Sums]
    here: Mapping[int, Sums]
    suspects: Sequence[int] = field(default=())

    @property
    def rows(self) -> int:
        """How many rows the replica has."""
        return sum(sums.rows for sums in self.here.values())

    @property
    def residuals(self) -> dict[int, Sums]:
        blocks = {*self.there, *self.here}
        return {block: self.there.get(block, Sums()) - self.here.get(block, Sums()) for block in blocks}

    def unlike(self, before: Residuals) -> list[int]:
        """Returns the blocks that had another residual `before`, and the suspects."""
        present = as_residuals(self.residuals)
        changed = {block for block in {*present, *before} if present.get(block) != before.get(block)}
        return sorted({*map(int, changed), *self.suspects})

    def size(self, blocks: Sequence[int]) -> int:
        """Returns how many keys those blocks have at most."""
        return sum(max(self.there.get(block, Sums()).rows, self.here.get(block, Sums()).rows) for block in blocks)


class Blocks:
    """The blocks of one table, `count` of them."""

    def __init__(self, reader: TableReader, log: FactLog, blocks: int) -> None:
        self.count = blocks
        self._reader = reader
        self._table = reader.table
        self._log = log
        self._database = log.database
        self._examined: set[Key] = set()
        self._lone: dict[int, Sums] = {}  # of the one row that the primary lacks of a block

    async def compare(self, suspects: Sequence[int] = ()) -> Comparison:
        """Returns the sums of both sides: of the primary first: what comes meanwhile makes a difference."""
        return Comparison(await self.there(), await self.here(), suspects)

    async def there(self) -> dict[int, Sums]:
        there: defaultdict[int, Sums] = defaultdict(Sums)
        for shape in self._reader.shapes:
            for block, sums in (await self._reader.sums(shape, self.count)).items():
                there[block] += sums
        return there

    async def are_alike(self) -> bool:
        """Returns whether both sides hash alike, which PostgreSQL promises of no two versions or processors."""
        async with self._database.read() as connection:
            return await repository.hash_of_probe(connection) == await self._reader.hash_of_probe()

    async def here(self) -> dict[int, Sums]:
        async with self._database.read() as connection:
            return await repository.sums(connection, self._table, self.count)

    async def after_examining(self, comparison: Comparison, blocks: Sequence[int]) -> Comparison:
        """Returns the comparison with what the replica has now of the examined blocks: no other row of it is read."""
        here = {**comparison.here, **{block: Sums() for block in blocks}}
        here |= {block: comparison.here[block] - sums for block, sums in self._lone.items()}
        for keys in batched(self._examined, MOST_SUMMED):
            async with self._database.read() as connection:
                for block, sums in (await repository.sums_of(connection, self._table, self.count, keys)).items():
                    here[block] += sums
        return replace(comparison, here=here)

    async def lone(self, comparison: Comparison, blocks: Sequence[int]) -> list[Key]:
        """Returns the keys that the primary lacks of those blocks that lack exactly one; both sides were alike in all.

        The difference is that row's hash, so no other key is looked at. Blocks with anything else are left out.
        """
        nothing = Sums()
        differences = {
            block: comparison.here.get(block, nothing) - comparison.there.get(block, nothing) for block in blocks
        }
        hashes = {block: sums for block, sums in differences.items() if sums.rows == 1}
        if not hashes:
            return []
        async with self._database.read() as connection:
            asked = [signed(sums.hashes) for sums in hashes.values()]
            found = await repository.keys_hashed(connection, self._table, asked)
        missing = await self._lacking(list(found))
        lacking = {found[key] % 2**64 for key in missing}
        self._lone = {block: sums for block, sums in hashes.items() if sums.hashes in lacking}
        return missing

    def explained(self) -> set[int]:
        """Returns the blocks of which `lone` has found what they lack."""
        return {*self._lone}

    async def examine(self, blocks: Sequence[int], *, whole: bool) -> list[Key]:
        """Reads rows of those blocks that are not here, or the `whole` blocks; returns the keys that the primary lacks.

        Where several rows of the primary share a key, one that went leaves the key: only the whole block tells.
        """
        if not blocks:
            return []
        async with self._database.read() as connection:
            here = await repository.keys_in_blocks(connection, self._table, self.count, blocks)
        known = frozenset[Key]() if whole else frozenset(here)
        self._examined.update(here)
        writer = PageWriter(self._reader, self._log)
        present: set[Key] = set()
        for shape in self._reader.shapes:
            keys = await self._reader.keys_in_blocks(shape, self.count, blocks)
            present |= known.intersection(map(shape.named, keys))
            for some in batched((key for key in keys if shape.named(key) not in known), self._table.page):
                groups = await self._reader.find(shape, some)
                present |= (await writer.write(shape, groups)).present
        self._examined |= present
        absent = [key for key in here if key not in present]
        return [key for some in batched(absent, self._table.page) for key in await self._lacking(some)]

    async def missing(self) -> list[Key]:
        """Returns the replica's keys that the primary lacks, all of them looked up."""
        missing: list[Key] = []
        after: Key | None = None
        while True:
            keys, lacking = await self.look_up(after)
            if not keys:
                return missing
            missing += lacking
            after = keys[-1]

    async def look_up(self, after: Key | None) -> tuple[list[Key], list[Key]]:
        """Returns the replica's next keys after `after`, and those of them that the primary lacks."""
        async with self._database.read() as connection:
            keys = await repository.keys_after(connection, self._table, after, self._table.page)
        return keys, await self._lacking(keys)

    async def _lacking(self, keys: Sequence[Key]) -> list[Key]:
        """Returns those of `keys` for which the primary has no row that counts, by looking each of them up."""
        present: set[Key] = set()
        for shape in self._reader.shapes:
            wanted = [located for key in keys if (located := shape.locate(key))]
            if wanted:
                groups = await self._reader.find(shape, wanted)
                present |= understand(self._table, shape, groups).records.keys()
        return [key for key in keys if key not in present]
